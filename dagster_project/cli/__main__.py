"""`python -m dagster_project.cli` is `postrider`."""

from dagster_project.cli import main

if __name__ == "__main__":
    main()
