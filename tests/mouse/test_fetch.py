import hashlib
import http.server
import re
import threading
from types import SimpleNamespace

import pytest

from neurn import mouse
from neurn.mouse import fetch


@pytest.fixture
def bucket(path):
    """Serve one session as S3 does; what goes wrong can be set."""
    data = path.read_bytes()

    class State:
        body = data
        cut = None  # bytes after which the connection ends
        ranges = True
        tag = hashlib.md5(data).hexdigest()
        asked = ()

    state = State()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.reply(b"", len(state.body), 200)

        def do_GET(self):
            found = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
            state.asked = (*state.asked, found and int(found[1]))
            begin = int(found[1]) if found and state.ranges else 0
            part = state.body[begin:]
            sent = part if state.cut is None else part[: state.cut]
            self.reply(sent, len(part), 206 if found and state.ranges else 200)

        def reply(self, body, length, status):
            names = ("/ophys_experiment_data/7.nwb", "/ophys_experiment_events/7_events.npz")
            if not self.path.endswith(names):
                self.send_error(404)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.send_header("ETag", f'"{state.tag}"')
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_comes_whole_and_announced(bucket, tmp_path):
    target = tmp_path / "cache" / "7.nwb"
    calls = []
    fetch.fetch_session(7, target, progress=lambda *n: calls.append(n), bucket=bucket.url)
    assert target.read_bytes() == bucket.body
    assert list(target.parent.iterdir()) == [target]
    size = len(bucket.body)
    assert fetch.size_of(fetch.session_url(7, bucket.url)) == size
    assert calls[0] == (0, size) and calls[-1] == (size, size)
    assert len(mouse.open_nwb(target)) == 8


def test_an_interrupted_file_is_not_there_and_goes_on(bucket, tmp_path):
    target = tmp_path / "7.nwb"
    bucket.cut = 100_000
    with pytest.raises(ConnectionError, match=r"ended after 100,000 of .* bytes; call again to go"):
        fetch.fetch_session(7, target, bucket=bucket.url)
    assert not target.exists()
    bucket.cut = None
    fetch.fetch_session(7, target, bucket=bucket.url)
    assert bucket.asked == (None, 100_000)
    assert target.read_bytes() == bucket.body


def test_a_server_without_ranges_sends_all_of_it(bucket, tmp_path):
    (tmp_path / ".7.nwb.part").write_bytes(b"x" * 10)
    bucket.ranges = False
    fetch.fetch_session(7, tmp_path / "7.nwb", bucket=bucket.url)
    assert (tmp_path / "7.nwb").read_bytes() == bucket.body


def test_what_is_longer_than_the_file_is_thrown_away(bucket, tmp_path):
    (tmp_path / ".7.nwb.part").write_bytes(b"x" * (len(bucket.body) + 1))
    fetch.fetch_session(7, tmp_path / "7.nwb", bucket=bucket.url)
    assert (tmp_path / "7.nwb").read_bytes() == bucket.body


def test_a_full_disk_is_said_before_the_first_byte(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    with pytest.raises(OSError, match=r"7.nwb' needs \d+ MB, and 2 MB are free"):
        fetch.fetch_session(7, tmp_path / "7.nwb", bucket=bucket.url)
    assert bucket.asked == () and list(tmp_path.iterdir()) == []


def test_what_goes_wrong_on_the_disk_is_not_blamed_on_the_connection(bucket, tmp_path):
    def full(there, size):
        if there:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as raised:
        fetch.fetch_session(7, tmp_path / "7.nwb", progress=full, bucket=bucket.url)
    assert not isinstance(raised.value, ConnectionError)
    assert not (tmp_path / "7.nwb").exists()


def test_an_address_without_a_size_is_no_file(bucket, tmp_path):
    bucket.body = b""
    with pytest.raises(ConnectionError, match="does not say how large it is"):
        fetch.fetch_session(7, tmp_path / "7.nwb", bucket=bucket.url)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_leaves_no_file(bucket, tmp_path):
    bucket.tag = "0" * 32
    with pytest.raises(mouse.RecordingError, match="differs from its checksum; fetch it again"):
        fetch.fetch_session(7, tmp_path / "7.nwb", bucket=bucket.url)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_recording_leaves_no_file(bucket, tmp_path):
    bucket.body, bucket.tag = b"an error page", "parts-2"
    with pytest.raises(mouse.RecordingError, match=r"sent is no recording: .*no whole HDF5 file"):
        fetch.fetch_session(7, tmp_path / "7.nwb", bucket=bucket.url)
    assert list(tmp_path.iterdir()) == []


def test_addresses_that_lead_nowhere(bucket, tmp_path):
    with pytest.raises(ConnectionError, match=r"8.nwb: 404 Not Found"):
        fetch.size_of(fetch.session_url(8, bucket.url))
    with pytest.raises(ConnectionError, match="cannot be reached"):
        fetch.size_of(fetch.session_url(8, "http://127.0.0.1:1"))


def test_events_come_as_recordings_do(bucket, path, tmp_path):
    events = path.parent.parent / "ophys_experiment_events" / f"{path.stem}_events.npz"
    bucket.body = events.read_bytes()
    bucket.tag, bucket.cut = hashlib.md5(bucket.body).hexdigest(), 1000
    target = tmp_path / "ophys_experiment_events" / "7_events.npz"
    with pytest.raises(ConnectionError, match=r"ended after 1,000 of .* bytes; call again to go"):
        fetch.fetch_events(7, target, bucket=bucket.url)
    assert not target.exists()
    bucket.cut = None
    fetch.fetch_events(7, target, bucket=bucket.url)
    assert bucket.asked == (None, 1000) and target.read_bytes() == bucket.body
    bucket.body, bucket.tag = b"an error page", "parts-2"
    with pytest.raises(mouse.RecordingError, match=r"sent is no recording: .*no whole file of"):
        fetch.fetch_events(7, tmp_path / "other.npz", bucket=bucket.url)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["7_events.npz"]


def test_a_download_that_is_interrupted_by_hand_goes_on(bucket, tmp_path):
    def interrupt(there, size):
        if there:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch.fetch_session(7, tmp_path / "7.nwb", progress=interrupt, bucket=bucket.url)
    assert not (tmp_path / "7.nwb").exists()
    fetch.fetch_session(7, tmp_path / "7.nwb", bucket=bucket.url)
    assert (tmp_path / "7.nwb").read_bytes() == bucket.body
    assert bucket.asked[-1] is None or bucket.asked[-1] > 0


def test_from_the_shell(bucket, tmp_path, capsys):
    from neurn import cli

    arguments = ["mouse", "fetch", "7", "--out", str(tmp_path), "--bucket", bucket.url]
    target = tmp_path / "ophys_experiment_data" / "7.nwb"
    assert cli.main([*arguments, "--dry-run"]) == 0
    assert f"{target}: {len(bucket.body) / 1e6:,.1f} MB" in capsys.readouterr().out
    assert not target.exists()
    assert cli.main(arguments) == 0
    assert "fetching 7.nwb: 100 %" in capsys.readouterr().err
    assert cli.main(arguments) == 0
    assert "there already" in capsys.readouterr().out
    assert cli.main([*arguments, "--events", "--dry-run"]) == 0
    assert "7_events.npz: " in capsys.readouterr().out
    arguments[2] = "9"
    assert cli.main(arguments) == 1
    assert "9.nwb: 404" in capsys.readouterr().err
