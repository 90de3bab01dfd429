"""Talks to the kernel's sockets with libzmq and Jupyter's own message code. Usage: libzmq.py CONNECTION-FILE"""
import json, socket, sys, time
import zmq
from jupyter_client.session import Session

c = json.load(open(sys.argv[1]))
ctx = zmq.Context()
session = Session(key=c["key"].encode())


def address(port):
    if c["transport"] == "ipc":
        return f"ipc://{c['ip']}-{port}"
    return f"tcp://{c['ip']}:{port}"


def connect(kind, port, **options):
    s = ctx.socket(kind)
    s.linger = 0
    for name, value in options.items():
        setattr(s, name, value)
    s.connect(address(port))
    return s


def check(ok, what):
    if not ok:
        print("FAIL", what)
        sys.exit(1)


def answers(s, what, n=7):
    """sends a signed request and wants its content back, signed."""
    msg = session.send(s, "echo_request", {"n": n})
    check(s.poll(10_000), what + ": no reply")
    _, reply = session.recv(s)
    check(reply["content"] == {"n": n}, what + f": {reply}")
    check(reply["parent_header"]["msg_id"] == msg["header"]["msg_id"], what + ": another parent")


main = connect(zmq.DEALER, c["shell_port"], identity=b"main")
answers(main, "first request")

listener = connect(zmq.SUB, c["iopub_port"], rcvhwm=100_000)
listener.subscribe(b"")
check(listener.poll(10_000), "no iopub_welcome")
_, frames = session.feed_identities(listener.recv_multipart())
welcome = session.deserialize(frames)
check(welcome["header"]["msg_type"] == "iopub_welcome" and welcome["content"] == {"subscription": ""}, f"{welcome}")


def published(s, wait=5_000):
    """asks the kernel to publish, and wants to hear it."""
    session.send(main, "publish_request", {})
    check(main.poll(10_000), "no reply to publish_request")
    session.recv(main)
    while s.poll(wait):
        _, frames = session.feed_identities(s.recv_multipart())
        if session.deserialize(frames)["header"]["msg_type"] == "published":
            return True
    return False


check(published(listener), "the listener hears nothing")

# ZMTP heartbeats, and the Jupyter one.
beat = connect(zmq.REQ, c["hb_port"], heartbeat_ivl=50, heartbeat_timeout=1000)
for i in range(5):
    beat.send(b"ping %d" % i)
    check(beat.poll(5_000), "no heartbeat")
    check(beat.recv() == b"ping %d" % i, "another heartbeat")
    time.sleep(0.06)

# 60 clients come and go.
for k in range(60):
    sub = connect(zmq.SUB, c["iopub_port"])
    sub.subscribe(b"")
    check(sub.poll(5_000), f"client {k}: no iopub_welcome")
    dealer = connect(zmq.DEALER, c["shell_port"], identity=b"client%d" % (k % 7))
    if k % 2:
        answers(dealer, f"client {k}")
    else:
        session.send(dealer, "echo_request", {})
    if k % 3 == 0:
        sub.unsubscribe(b"")
    sub.close()
    dealer.close()
answers(main, "after 60 clients")
check(published(listener), "the listener hears nothing after 60 clients")

# One that never reads, and one that never greets.
deaf = connect(zmq.SUB, c["iopub_port"], rcvhwm=1, rcvbuf=4096)
deaf.subscribe(b"")
silent = []
if c["transport"] == "tcp":
    silent = [socket.create_connection((c["ip"], c[p])) for p in ("shell_port", "iopub_port", "hb_port") for _ in range(20)]
session.send(main, "flood_request", {})
check(main.poll(30_000), "no reply to flood_request")
session.recv(main)
check(published(listener, 10_000), "one that never reads stalls the listener")
answers(connect(zmq.DEALER, c["shell_port"]), "beside silent connections")
for s in silent:
    s.close()

# Unsigned, wrongly signed, replayed and malformed messages.
other = connect(zmq.DEALER, c["shell_port"], identity=b"other")
good = session.serialize(session.msg("echo_request", {"n": 1}))
other.send_multipart(good)
check(other.poll(5_000), "no reply to a good message")
other.recv_multipart()
bad = Session(key=b"another key")
for what, frames in {
    "replayed": good,
    "wrongly signed": bad.serialize(bad.msg("echo_request", {"n": 1})),
    "unsigned": Session(key=b"").serialize(session.msg("echo_request", {"n": 1})),
    "malformed": [b"\x00" * 100] * 50,
}.items():
    other.send_multipart(frames)
    check(not other.poll(100), what + " was answered")
answers(other, "after bad messages")

# A large message in both directions, in many frames.
content = {"text": "x" * 20_000_000}
session.send(main, "echo_request", content)
check(main.poll(30_000), "no reply to a large message")
check(session.recv(main)[1]["content"] == content, "a large message was changed")
# A stranger's large message is refused, and libzmq connects again.
stranger = connect(zmq.DEALER, c["shell_port"], identity=b"stranger")
session.send(stranger, "echo_request", content)
check(not stranger.poll(1_000), "a stranger's large message was taken")
deadline = time.time() + 20
while time.time() < deadline:
    session.send(stranger, "echo_request", {"n": 2})
    if stranger.poll(1_000):
        break
else:
    check(False, "no way back after a refused message")
answers(main, "at the end")
print("ok")
