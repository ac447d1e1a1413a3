"""`python -m skerry_train`, which is how torchrun starts it."""

import sys

from skerry_train.cli import main

sys.exit(main())
