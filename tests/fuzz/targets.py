"""All targets by name."""

from . import data_files, option_files, picture_files, run_folders, weight_files

MODULES = (data_files, weight_files, run_folders, option_files, picture_files)
TARGETS = {name: target for module in MODULES for name, target in module.TARGETS.items()}
