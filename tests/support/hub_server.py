"""A hub on the loopback address: the endpoints that huggingface_hub asks for when it uploads and fetches."""

import base64
import hashlib
import json
import re
import sys
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from loopback import QuietHandler, serving

_NAME = "([^/]+/[^/]+)"


class Hub:
    """Repositories of models and data sets by name, each a list of commits: (hash, message, content by path)."""

    def __init__(self):
        self.commits, self.private, self.objects = {}, {}, {}
        self.requests = []
        self.truncated = set()
        """Files of which half is sent."""

    def commit(self, repository, files, message="by hand"):
        """Add a commit that holds `files`, {path: content}, and return its hash."""
        commits = self.commits.setdefault(repository, [])
        sha = hashlib.sha1(f"{repository} {len(commits)}".encode()).hexdigest()
        commits.append((sha, message, dict(files)))
        self.private.setdefault(repository, False)
        return sha

    def files(self, repository, revision="main"):
        """Return the hash and the files of a revision, or None where there is none."""
        commits = self.commits.get(repository, [])
        chosen = [commit for commit in commits if revision in ("main", commit[0])]
        return (chosen[-1][0], chosen[-1][2]) if chosen else None


def oid_of(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def file_entry(name, content):
    return {"type": "file", "path": name, "size": len(content), "oid": oid_of(content)}


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, hub = unquote(urlsplit(self.path).path), self.server.hub
        hub.requests.append((self.command, path))
        if match := re.fullmatch(rf"/api/(?:models|datasets)/{_NAME}(?:/revision/(.+))?", path):
            self.found(*match.groups(), self.info)
        elif match := re.fullmatch(rf"/api/(?:models|datasets)/{_NAME}/tree/([^/]+)(?:/(.+))?", path):
            self.found(*match.groups()[:2], lambda *at: self.tree(*at, below=match[3]))
        elif match := re.fullmatch(rf"/(?:datasets/)?{_NAME}/resolve/([^/]+)/(.+)", path):
            self.found(*match.groups()[:2], lambda *found: self.resolve(*found, match[3]))
        else:
            self.answer({"error": "no such page"}, status=404)

    def found(self, repository, revision, answer):
        if repository not in self.server.hub.commits:
            self.answer({"error": "Repository not found"}, status=404, headers={"X-Error-Code": "RepoNotFound"})
        elif (at := self.server.hub.files(repository, revision or "main")) is None:
            self.answer({"error": "Invalid rev id"}, status=404, headers={"X-Error-Code": "RevisionNotFound"})
        else:
            answer(repository, *at)

    def info(self, repository, sha, files):
        siblings = [{"rfilename": name} for name in files]
        private = self.server.hub.private[repository]
        self.answer({"_id": "0", "id": repository, "sha": sha, "private": private, "siblings": siblings, "tags": []})

    def paths_info(self, repository, sha, files, *, paths):
        self.answer([file_entry(name, files[name]) for name in files if name in paths])

    def tree(self, repository, sha, files, *, below=None):
        inside = f"{below}/" if below else ""
        names = [name for name in files if name.startswith(inside)]
        if not names:
            self.answer({"error": "Entry not found"}, status=404, headers={"X-Error-Code": "EntryNotFound"})
            return
        folders = {inside + name.removeprefix(inside).partition("/")[0] for name in names} - set(names)
        if "recursive=true" not in self.path.lower():
            names = [name for name in names if "/" not in name.removeprefix(inside)]
        entries = [{"type": "directory", "path": name, "size": 0, "oid": oid_of(name.encode())} for name in folders]
        self.answer([*entries, *(file_entry(name, files[name]) for name in names)])

    def resolve(self, repository, sha, files, name):
        if name not in files:
            self.answer({"error": "Entry not found"}, status=404, headers={"X-Error-Code": "EntryNotFound"})
            return
        content = files[name]
        if name in self.server.hub.truncated and self.command == "GET":
            content = content[: len(content) // 2]
        headers = {"ETag": f'"{oid_of(files[name])}"', "X-Repo-Commit": sha, "Content-Length": str(len(files[name]))}
        self.answer(content, headers=headers)

    def do_POST(self):
        path, hub = unquote(urlsplit(self.path).path), self.server.hub
        hub.requests.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        here = f"http://{self.headers['Host']}"
        if match := re.fullmatch(rf"/api/datasets/{_NAME}/paths-info/([^/]+)", path):
            asked = json.loads(body)["paths"]
            self.found(*match.groups(), lambda *at: self.paths_info(*at, paths=asked))
        elif self.headers.get("Authorization") != "Bearer hf_loopback":
            self.answer({"error": "Invalid username or password."}, status=401)
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in hub.commits:
                self.answer({"error": "You already created this model repo", "url": f"{here}/{name}"}, status=409)
                return
            hub.private[name] = asked.get("visibility") == "private" or bool(asked.get("private"))
            hub.commit(name, {".gitattributes": b""}, "initial commit")
            self.answer({"url": f"{here}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".png")) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif re.fullmatch(r"/[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
            objects = [
                {**each, "actions": {"upload": {"href": f"{here}/objects/{each['oid']}", "header": {}}}}
                for each in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self.take_commit(match[1], [json.loads(line) for line in body.splitlines()], here)
        else:
            self.answer({"error": "no such page"}, status=404)

    def take_commit(self, repository, lines, here):
        hub = self.server.hub
        _, files = hub.files(repository)
        files, message = dict(files), ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = hub.commit(repository, files, message)
        self.answer({"commitOid": sha, "commitUrl": f"{here}/{repository}/commit/{sha}", "hookOutput": ""})

    def do_PUT(self):
        oid = self.path.rpartition("/")[2]
        content = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.hub.objects[oid] = content
        self.answer(b"")

    def answer(self, content, *, status=200, headers=None):
        is_json = not isinstance(content, bytes)
        content = json.dumps(content).encode() if is_json else content
        headers = {"Content-Length": str(len(content))} | (headers or {})
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if is_json else "application/octet-stream")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        if len(content) < int(headers["Content-Length"]):
            self.close_connection = True


@contextmanager
def serving_hub():
    """Yield a hub and its address while it answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = Hub()
    with serving(server):
        yield server.hub, f"http://127.0.0.1:{server.server_address[1]}"


def point_at(address, folder, patch):
    """Have huggingface_hub and `datasets`, once imported, talk with the hub at an address, and cache below a folder."""
    changes = {
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(folder / "cache"),
        "HF_ASSETS_CACHE": str(folder / "assets"),
        "HF_TOKEN_PATH": str(folder / "token"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_OFFLINE": False,
    }
    for name, value in changes.items():
        patch.setattr(f"huggingface_hub.constants.{name}", value)
    patch.setenv("HF_TOKEN", "hf_loopback")
    if "datasets" in sys.modules:
        patch.setattr("datasets.config.HF_ENDPOINT", address)
        patch.setattr("datasets.config.HF_HUB_OFFLINE", False)
