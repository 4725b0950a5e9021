"""Servers in company: a Cluster, and a primary with its replica, behind sentinels or behind
one address.

All of them are the binary that the other tests use. One that can do neither is an
error, never a skip.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import redis
from redis.crc import key_slot

from tests.servers import find_server

HOST = "127.0.0.1"


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Look again and again, for what nobody announces; gives what came true."""
    deadline = time.monotonic() + seconds
    ticks = threading.Event()
    while True:
        # A KeyError: it is not a replica yet.
        with contextlib.suppress(redis.ConnectionError, redis.ResponseError, KeyError):
            if found := condition():
                return found
        if time.monotonic() > deadline:
            raise RuntimeError(f"never came true: {what}")
        ticks.wait(0.02)


def free_port() -> int:
    """A port that is free, and so is the one 10,000 above it, as Clusters want."""
    while True:
        with socket.create_server((HOST, 0)) as one:
            port = int(one.getsockname()[1])
            if port > 55_000:
                continue
            try:
                socket.create_server((HOST, port + 10_000)).close()
            except OSError:
                continue
            return port


class Node:
    """One server process on a port of its own."""

    def __init__(
        self, *arguments: str, config: str | None = None, password: str = ""
    ) -> None:
        self.password = password
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="rj-", dir="/tmp"))
        self.arguments = arguments
        self.config = config
        self.start()

    def start(self) -> None:
        if self.config is not None:
            path = self.folder / "node.conf"
            path.write_text(f"port {self.port}\ndir {self.folder}\n{self.config}")
            config = [str(path)]
        else:
            config = ["--port", str(self.port), "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [find_server(), *config, *self.arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        def answers() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.log()}")
            return bool(self.client.ping())

        until(answers, "the server answers")

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    @property
    def client(self) -> Any:
        """A new plain client."""
        return redis.Redis(
            HOST, self.port, password=self.password, protocol=2, socket_timeout=10
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.kill()
        rmtree(self.folder, ignore_errors=True)


class Cluster:
    """Three primaries with a third of the slots each; further nodes are replicas."""

    SLOTS = 16_384

    def __init__(self, *arguments: str) -> None:
        self.nodes = [
            Node(
                *("--cluster-enabled", "yes", "--save", "", "--appendonly", "no"),
                # On a busy machine a node may be silent for a second and be well.
                *("--cluster-node-timeout", "2000"),
                *("--cluster-require-full-coverage", "no"),
                *("--repl-diskless-sync-delay", "0"),
                *arguments,
            )
            for _ in range(3)
        ]
        bounds = [round(self.SLOTS / 3 * index) for index in range(4)]
        for index, node in enumerate(self.nodes):
            slots = range(bounds[index], bounds[index + 1])
            # Without epochs of their own they would first have to agree on them.
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            node.client.execute_command("CLUSTER", "ADDSLOTS", *slots)
        self._introduce(self.nodes[1:])
        for node in self.nodes:
            until(lambda node=node: self._complete(node), "the Cluster is complete")

    def _introduce(self, newcomers: Sequence[Node]) -> None:
        for node in newcomers:
            node.client.execute_command("CLUSTER", "MEET", HOST, self.nodes[0].port)

    @staticmethod
    def is_ok(node: Node) -> bool:
        """Whether the node serves its slots."""
        return b"cluster_state:ok" in node.client.execute_command("CLUSTER", "INFO")

    def _complete(self, node: Node) -> bool:
        if not self.is_ok(node):
            return False
        owners = node.client.execute_command("CLUSTER", "SLOTS")
        covered = sum(int(high) - int(low) + 1 for low, high, *_ in owners)
        return len(owners) == 3 and covered == self.SLOTS

    def add_replica(self, of: Node) -> Node:
        """A fourth node that follows one of the three."""
        replica = Node(*of.arguments)
        self._introduce([replica])
        until(lambda: self.id_of(of) in str(self._nodes_of(replica)), "they have met")
        until(
            lambda: replica.client.execute_command(
                "CLUSTER", "REPLICATE", self.id_of(of)
            ),
            "it is a replica",
        )
        until(
            lambda: replica.client.info("replication")["master_link_status"] == "up",
            "it follows",
        )
        self.nodes.append(replica)
        return replica

    def fail_over_to(self, replica: Node) -> None:
        """Have a replica and its primary change places; returns when they have.

        An election that does not come in time, as on a busy machine, is given up by the
        nodes, silently. Then it is begun anew, and at last the replica asks nobody.
        """

        def is_primary() -> bool:
            return bool(replica.client.info("replication")["role"] == "master")

        for how in ((), (), (), ("TAKEOVER",)):
            # One that came in just now needs no further one, and says so.
            with contextlib.suppress(redis.ResponseError):
                replica.client.execute_command("CLUSTER", "FAILOVER", *how)
            # A little longer than the nodes go on with it, and until they vote again.
            with contextlib.suppress(RuntimeError):
                until(is_primary, "the replica is the primary", seconds=6)
                return
        until(is_primary, "the replica is the primary")

    def id_of(self, node: Node) -> str:
        raw = node.client.execute_command("CLUSTER", "MYID")
        return raw.decode() if isinstance(raw, bytes) else str(raw)

    @staticmethod
    def _nodes_of(node: Node) -> Any:
        return node.client.execute_command("CLUSTER", "NODES")

    @property
    def url(self) -> str:
        return "cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes[:3])

    def owner(self, key: str) -> Node:
        """Who serves the slot of ``key`` now, by their own account."""
        for node in self.nodes:
            if node.process.poll() is None and self.serves(node, key):
                return node
        raise RuntimeError(f"nobody serves {key}")

    @staticmethod
    def serves(node: Node, key: str) -> bool:
        """Whether the node says that it does."""
        slot = key_slot(key.encode())
        return any(
            int(low) <= slot <= int(high) and int(primary[1]) == node.port
            for low, high, primary, *_ in node.client.execute_command(
                "CLUSTER", "SLOTS"
            )
        )

    def begin_move(self, key: str, target: Node) -> Move:
        return Move(self, key, target)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


class Move:
    """The slot of a key on its way to another node."""

    def __init__(self, cluster: Cluster, key: str, target: Node) -> None:
        self.cluster = cluster
        self.source, self.target = cluster.owner(key), target
        self.slot = key_slot(key.encode())
        ids = cluster.id_of(self.source), cluster.id_of(target)
        target.client.execute_command(
            "CLUSTER", "SETSLOT", self.slot, "IMPORTING", ids[0]
        )
        self.source.client.execute_command(
            "CLUSTER", "SETSLOT", self.slot, "MIGRATING", ids[1]
        )

    def move_keys(self, most: int = 1_000) -> int:
        """Carry over up to so many keys; gives how many there were."""
        source = self.source.client
        keys = source.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, most)
        if keys:
            source.execute_command(
                *("MIGRATE", HOST, self.target.port, "", 0, 5_000, "KEYS", *keys)
            )
        return len(keys)

    def finish(self) -> None:
        while self.move_keys():
            pass
        new = self.cluster.id_of(self.target)
        for node in (self.target, self.source, *self.cluster.nodes):
            with contextlib.suppress(redis.ResponseError):
                node.client.execute_command(
                    "CLUSTER", "SETSLOT", self.slot, "NODE", new
                )


class SentinelPair:
    """A primary and its replica, watched by two sentinels, who agree on a failover.

    With ``password`` the servers want one, with ``sentinel_password`` the sentinels.
    """

    SERVICE = "jobs"
    QUORUM = 2

    def __init__(self, *, password: str = "", sentinel_password: str = "") -> None:
        self.password, self.sentinel_password = password, sentinel_password
        common = ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
        if password:
            common += ["--requirepass", password, "--masterauth", password]
        primary = Node(*common, password=password)
        follow = ("--replicaof", HOST, str(primary.port))
        self.data = [primary, Node(*common, *follow, password=password)]
        self.sentinels = [self._watch() for _ in range(self.QUORUM)]
        self._wait_watched()

    def _watch(self) -> Node:
        name, port = self.SERVICE, self.data[0].port
        lines = [
            f"sentinel monitor {name} {HOST} {port} {self.QUORUM}",
            f"sentinel down-after-milliseconds {name} 1500",
            f"sentinel failover-timeout {name} 3000",
        ]
        if self.password:
            lines.append(f"sentinel auth-pass {name} {self.password}")
        if self.sentinel_password:
            lines.append(f"requirepass {self.sentinel_password}")
        config = "\n".join(lines) + "\n"
        return Node("--sentinel", config=config, password=self.sentinel_password)

    def _wait_watched(self) -> None:
        def complete(sentinel: Node) -> bool:
            (state,) = sentinel.client.sentinel_masters().values()
            found = state["num-slaves"], state["num-other-sentinels"]
            return bool(found == (1, self.QUORUM - 1))

        for sentinel in self.sentinels:
            until(lambda each=sentinel: complete(each), "the sentinels know all")
        replica = self.data[1]
        until(
            lambda: replica.client.info("replication")["master_link_status"] == "up",
            "the replica follows",
        )

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.sentinels)
        return f"sentinel://{hosts}/{self.SERVICE}/0"

    def primary(self) -> Node:
        """Whom the sentinels name."""
        _, port = self.sentinels[0].client.execute_command(
            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.SERVICE
        )
        return next(node for node in self.data if node.port == int(port))

    def fail_over(self) -> None:
        """Have the two change places, in good order; returns when they have."""
        before = self.primary()
        self.sentinels[0].client.execute_command("SENTINEL", "FAILOVER", self.SERVICE)
        self.wait_for_other(before)

    def wait_for_other(self, before: Node) -> Node:
        after = next(node for node in self.data if node is not before)
        for sentinel in self.sentinels:
            until(
                lambda each=sentinel: (
                    int(
                        each.client.execute_command(
                            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.SERVICE
                        )[1]
                    )
                    == after.port
                ),
                "the sentinels name the other one",
            )
        until(lambda: after.client.info("replication")["role"] == "master", "it is one")
        return after

    def stop(self) -> None:
        for node in (*self.sentinels, *self.data):
            node.stop()


class MovingAddress:
    """A primary and its replica behind one address, as a managed service has them: new
    connections lead to the primary, and those that are open stay where they are.
    """

    def __init__(self) -> None:
        common = ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")
        self.primary = Node(*common)
        self.replica = Node(*common, "--replicaof", HOST, str(self.primary.port))
        until(self._follows, "the replica follows")
        self._requests = threading.Lock()
        self._listener = socket.create_server((HOST, 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self._listener.getsockname()[1]}/0"

    def fail_over(self) -> None:
        """Have the two change places, in good order; returns when they have."""
        with self._requests:
            # What is under way to the primary comes to the replica between two looks.
            for _ in range(2):
                until(self._has_all, "the replica has what its primary has")
            self.replica.client.replicaof("NO", "ONE")
            self.primary.client.replicaof(HOST, self.replica.port)
            self.primary, self.replica = self.replica, self.primary
        until(self._follows, "the old primary follows")

    def _follows(self) -> bool:
        # Only an online one counts for WAIT.
        return bool(
            self.replica.client.info("replication")["master_link_status"] == "up"
            and self.primary.client.info("replication")["slave0"]["state"] == "online"
        )

    def _has_all(self) -> bool:
        written = self.primary.client.info("replication")["master_repl_offset"]
        read = self.replica.client.info("replication")["slave_repl_offset"]
        return bool(written == read)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._relay, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _relay(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection((HOST, self.primary.port)) as server,
        ):
            for each in (client, server):
                # Else what comes in two parts waits for a delayed ACK.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                for source in select.select([client, server], [], [])[0]:
                    if not (data := source.recv(65_536)):
                        return
                    if source is server:
                        client.sendall(data)
                    else:
                        with self._requests:
                            server.sendall(data)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for node in (self.primary, self.replica):
            node.stop()
        for thread in self._threads:
            thread.join()
