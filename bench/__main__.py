"""`python -m bench`: every measurement there is."""

import sys

from bench import boxes, dns

sys.exit(boxes.main() or dns.main())
