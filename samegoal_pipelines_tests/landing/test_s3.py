"""The landing on S3, as production has it: a real S3 server (moto's), spoken to through s3fs and botocore."""

from collections.abc import Iterator
from datetime import date, datetime

import boto3
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from samegoal_pipelines.landing import Landing, LandingError
from samegoal_pipelines_tests.landing.test_store import NIGHT, land, schools


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedMotoServer]:
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def bucket(server, monkeypatch) -> Iterator[str]:
    """A bucket's URL; the environment leads to the server."""
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    made = boto3.resource("s3").create_bucket(Bucket="nights")
    yield "s3://nights/landing"
    made.objects.all().delete()
    made.delete()
    s3fs.S3FileSystem.clear_instance_cache()


def test_what_lands_on_s3_comes_back_is_pruned_and_is_erased(bucket):
    land(Landing(bucket))
    land(Landing(bucket), night=date(2026, 9, 1))

    landing = Landing(bucket)
    assert schools(landing) == [1]
    assert landing.nights("alpha") == [date(2026, 9, 1), NIGHT]
    assert landing.prune("alpha", NIGHT, today=NIGHT, local_date=datetime.date) == [date(2026, 9, 1)]
    assert landing.nights("alpha") == [NIGHT]
    assert landing.erase("alpha") == 2
    assert [*boto3.resource("s3").Bucket("nights").objects.all()] == []


def test_pages_of_reports_are_kept_replaced_and_deleted_on_s3(bucket):
    """`erase` replaces the pages that name the district."""
    landing, old = Landing(bucket), date(2026, 9, 1)
    for night in (old, NIGHT):
        landing.keep_page(night, "<p>alpha</p>")
    assert Landing(bucket).pages() == {old: "<p>alpha</p>", NIGHT: "<p>alpha</p>"}
    landing.keep_page(NIGHT, "<p>ñ</p>")
    assert Landing(bucket).prune_pages(NIGHT) == [old]
    assert Landing(bucket).pages() == {NIGHT: "<p>ñ</p>"}


def test_what_other_processes_land_and_delete_is_seen_at_once(bucket):
    landing, client, later = Landing(bucket), boto3.client("s3"), date(2026, 10, 13)
    land(landing)
    assert (landing.nights("alpha"), landing.count_files("alpha")) == ([NIGHT], 2)

    for one in client.list_objects_v2(Bucket="nights")["Contents"]:
        key = one["Key"].replace(str(NIGHT), str(later))
        client.copy_object(Bucket="nights", Key=key, CopySource={"Bucket": "nights", "Key": one["Key"]})
        client.delete_object(Bucket="nights", Key=one["Key"])

    assert (landing.nights("alpha"), landing.count_files("alpha")) == ([later], 2)
    assert landing.landed("schools", district_id="alpha", night=NIGHT) == []
    assert len(landing.landed("schools", district_id="alpha", night=later)) == 1


def test_empty_objects_that_stand_for_folders_are_erased_as_well(bucket):
    """Consoles and other tools make them."""
    land(Landing(bucket))
    for key in ("landing/alpha/", "landing/alpha/2026-10-12/"):
        boto3.client("s3").put_object(Bucket="nights", Key=key, Body=b"")
    Landing(bucket).erase("alpha")
    assert [*boto3.resource("s3").Bucket("nights").objects.all()] == []


def test_brackets_in_the_landing_s_path_are_no_pattern(bucket):
    land(Landing(f"{bucket}[1]"))
    land(Landing(f"{bucket}1"))
    assert Landing(f"{bucket}[1]").erase("alpha") == 2
    assert schools(Landing(f"{bucket}1")) == [1]


def test_a_bucket_that_is_missing_is_said_and_not_made(bucket):
    with pytest.raises(LandingError, match=r"storage at s3://misspelt/x: .*the folder or bucket"):
        land(Landing("s3://misspelt/x"))

    assert [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]] == ["nights"]


def test_an_s3_that_cannot_be_reached_is_said_and_is_worth_another_try(bucket, monkeypatch):
    land(Landing(bucket))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    landing = Landing(bucket)

    unreachable = "storage at s3://nights/landing: EndpointConnectionError"
    for attempt in (land, schools, lambda landing: landing.erase("alpha")):
        with pytest.raises(LandingError, match=unreachable) as caught:
            attempt(landing)
        assert caught.value.transient


def test_an_s3_without_credentials_says_which_to_give(bucket, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))  # nor from its files
    s3fs.S3FileSystem.clear_instance_cache()

    for attempt in (land, schools):
        with pytest.raises(LandingError, match=r": no AWS credentials: set AWS_ACCESS_KEY_ID and") as caught:
            attempt(Landing(bucket))
        assert not caught.value.transient
