"""Measuring on a Dask cluster: many machines behind one scheduler. Importing it imports no Dask."""

from bifurk_service.pipeline.cluster.address import check_cluster

__all__ = ["check_cluster"]
