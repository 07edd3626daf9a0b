"""The bifurk service: measures, judges, stores and serves; and one call to read it all back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray

__all__ = ["dataset"]


def dataset(
    url: str, run: int | str, *, token: str | None = None, attempt: str | None = None
) -> xarray.Dataset:
    """All statistics of a run as one ``xarray.Dataset``, in one request.

        >>> import bifurk_service
        >>> stats = bifurk_service.dataset("http://127.0.0.1:8700", "gpt")  # doctest: +SKIP
        >>> stats["std"].sel(role="mlp.down").plot.line(x="step")  # doctest: +SKIP

    One variable a statistic, float64 [tensor, step], NaN where it has no value; its ``attrs`` say
    unit, formula and nature. Coordinates ``layer`` (NaN without one), ``role`` and ``tensor_id``
    lie along ``tensor``, ``attempt`` along ``step``. The dataset's ``attrs`` name project and run.

    Needs ``bifurk[service,export]`` here and where the server runs.

    Args:
        url: the server, ``http(s)://host[:port]``. run: an id, a name, or ``project/name``.
        token: where the server asks for one. attempt: only what this one saw.

    Raises:
        bifurk_service.errors.BifurkError: no answer, no such run, or something to be installed.
    """
    # Nothing is imported before it is called: workers and the server import this package too.
    from bifurk_service.commands.dataset import fetch_dataset  # noqa: PLC0415
    from bifurk_service.commands.rest import Rest  # noqa: PLC0415

    return fetch_dataset(Rest(url, token), run, attempt=attempt)
