"""All targets by name."""

from . import data_files, option_files, picture_files, run_folders, studies, weight_files

MODULES = (data_files, weight_files, run_folders, studies, option_files, picture_files)
TARGETS = {name: target for module in MODULES for name, target in module.TARGETS.items()}
