"""`python -m skerry.ssh` is the SSH door's process."""

import sys

from skerry.ssh.process import main

sys.exit(main())
