"""The typed configuration: schema, YAML files, command-line overrides.

`imagenet.py` holds the whole configuration of a pipeline; `loading.load` builds one from files and
overrides; `command_line.py` is what the pipelines share.
"""
