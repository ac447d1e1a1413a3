"""`python -m bench`: every measurement there is."""

import sys

from bench.boxes import main

sys.exit(main())
