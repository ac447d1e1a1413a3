"""`python -m bench`: every measurement there is."""

import sys

from bench import boxes, dns, gateway, ssh

sys.exit(boxes.main() or gateway.main() or dns.main() or ssh.main())
