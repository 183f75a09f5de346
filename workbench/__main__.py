"""`python -m workbench`: the same as `workbench`, for where a module is named, as torchrun does."""

from workbench.entry import main

main()
