"""Whether a cluster can be spoken to at all, as this process is set up."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Final

from bifurk_service.errors import SetupError

ADDRESS: Final = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})")


def check_cluster(address: str) -> None:
    """Refuses what can never work; a scheduler that is merely away is waited for.

    Args:
        address: as ``BIFURK_DASK_SCHEDULER`` has it.

    Raises:
        SetupError: no such address, Dask is not installed, or TLS has no certificates.
    """
    found = ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found[3]) <= 65_535:
        raise SetupError(
            f"BIFURK_DASK_SCHEDULER is {address!r}; expected tcp://HOST:PORT or tls://HOST:PORT, "
            "as the scheduler writes it in its log"
        )
    if find_spec("distributed") is None:
        raise SetupError(
            "BIFURK_DASK_SCHEDULER needs Dask, which is not installed: "
            "pip install 'bifurk[service,cluster]'"
        )
    if found[1] == "tls":
        _check_certificates()


def _check_certificates() -> None:
    from distributed.security import Security  # noqa: PLC0415 - slow, and an extra

    try:
        context = Security().get_connection_args("client")["ssl_context"]
    except OSError as error:
        raise SetupError(f"the certificates for the cluster cannot be read: {error}") from error
    if context is None:
        raise SetupError(
            "BIFURK_DASK_SCHEDULER is tls:// and there are no certificates: set "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
        )
