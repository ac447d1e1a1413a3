"""A door that lets nobody in: it runs until it is ended. `python -m tests.doors.idler`."""

import time

time.sleep(1000)
