"""Trained networks in the forms that other programs take, each compared with the network."""
