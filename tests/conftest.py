"""Servers of tests have no models unless a test asks for them: most are about something else, and
torch takes seconds to import in each process. The rules of moderation run all the same.
"""

import os

os.environ["ATRIUM_BRAIN"] = "off"
