"""The authoritative world server of Atrium."""

from atrium_server.kernel_cache import use_kernel_cache

use_kernel_cache()
