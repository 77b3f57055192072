"""``python -m signscope`` is the ``signscope`` command."""

from signscope.cli import main

main()
