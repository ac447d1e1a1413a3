"""`python -m skerry.gateway` is the gateway's process."""

import sys

from skerry.gateway.process import main

sys.exit(main())
