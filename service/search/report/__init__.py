"""What a sweep showed: tables of its trials and pictures of them, without Ray and MLflow.

`writing.py` writes all of it; each other module is one table or picture, or the arithmetic of one.
"""
