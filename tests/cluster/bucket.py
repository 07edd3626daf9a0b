"""An S3 server on loopback with one bucket."""

from __future__ import annotations

import boto3
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from tests import asking

NAME = "weights"
NOBODY_IS_ASKED = "inf"


class Bucket:
    """A bucket, and how to reach it."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self._address = f"http://{host}:{port}"
        self.url = f"s3://{NAME}/blobs"
        self.environment = {
            "AWS_ENDPOINT_URL": self._address,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }
        self._client = boto3.client(
            "s3",
            endpoint_url=self._address,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            region_name="us-east-1",
        )
        # What this process kept of an earlier bucket: its contents, and connections to it.
        asking.asked("POST", f"{self._address}/moto-api/reset")
        S3FileSystem.clear_instance_cache()
        self._client.create_bucket(Bucket=NAME)

    def listed(self) -> list[str]:
        """The keys of all that lies in it."""
        found = self._client.list_objects_v2(Bucket=NAME)
        return [one["Key"] for one in found.get("Contents", [])]

    def buckets(self) -> list[str]:
        """The names of all buckets."""
        return [one["Name"] for one in self._client.list_buckets()["Buckets"]]

    def ask_for_credentials(self, *, asked: bool) -> None:
        """From now on only credentials that were made here are let in, of which there are none."""
        body = "0" if asked else NOBODY_IS_ASKED
        asking.asked("POST", f"{self._address}/moto-api/reset-auth", body=body)

    def stop(self) -> None:
        """Ends the server; again is no error."""
        self._server.stop()
