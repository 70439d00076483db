"""`python -m tinygrad_cnn` is the same as `tinygrad-cnn`."""

import sys

from .cli import main

sys.exit(main())
