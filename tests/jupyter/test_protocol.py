"""The parts of the protocol that notebooks seldom show: test_protocol.py (the kernel must be installed)."""

import queue
import sys
import time

from test_kernel import Notebook, of, text


def shell(client, sent, timeout=20):
    while True:
        reply = client.get_shell_msg(timeout=timeout)
        if reply["parent_header"].get("msg_id") == sent:
            return reply["content"]


def control(client, kind, content, timeout=20):
    message = client.session.msg(kind, content)
    client.control_channel.send(message)
    while True:
        reply = client.get_control_msg(timeout=timeout)
        if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            return reply["content"]


def published_until(client, wanted, timeout=30):
    while True:
        message = client.get_iopub_msg(timeout=timeout)
        if wanted(message):
            return message


def main():
    notebook = Notebook()
    client, manager = notebook.client, notebook.manager
    notebook.run("/// Halves a number.\nfn half(v: f64) -> f64 { v / 2.0 }\nlet x = Tensor::arange(0.0..4.0);")

    # While a cell runs, everything else is answered; then it is stopped and the variables are there.
    running = client.execute('println!("on"); loop { std::hint::black_box(1); }')
    published_until(client, lambda m: m["msg_type"] == "stream" and m["content"]["text"] == "on\n")
    assert shell(client, client.kernel_info())["status"] == "ok"
    assert "matmul" in shell(client, client.complete("x.mat", 5))["matches"]
    found = shell(client, client.inspect("half(2.0)", 2))
    assert found["found"] and "Halves a number." in found["data"]["text/markdown"], found
    assert "Tensor" in shell(client, client.inspect("x", 1))["data"]["text/plain"]
    assert shell(client, client.inspect("nothing_of_this_name", 3)) == {
        "status": "ok", "found": False, "data": {}, "metadata": {}}
    assert shell(client, client.comm_info()) == {"status": "ok", "comms": {}}
    assert control(client, "kernel_info_request", {})["protocol_version"] == "5.3"
    refused = control(client, "debug_request", {"type": "request", "seq": 3, "command": "attach"})
    assert (refused["success"], refused["request_seq"]) == (False, 3), refused
    manager.interrupt_kernel()
    _, reply = notebook.collect(running, timeout=30)
    assert reply["ename"] == "interrupted", reply
    assert of(notebook.run("x.sum().item()")[0], "execute_result")[0]["data"]["text/plain"] == "6.0"

    # A comm that nobody here knows is closed at once.
    message = client.session.msg("comm_open", {"comm_id": "c", "target_name": "t", "data": {}})
    client.shell_channel.send(message)
    closed = published_until(client, lambda m: m["msg_type"] == "comm_close")
    assert closed["content"]["comm_id"] == "c", closed

    # Displays: named, updated, cleared, in the order of the code, with printed text between.
    published, _ = notebook.run('''use d2l::display::{Bundle, Clear, clear};
println!("a");
Bundle::new().with("text/plain", "0 %").show_as("bar");
println!("b");
Bundle::new().with("text/plain", "100 %").update("bar");
clear(Clear::WithNextOutput);
println!("c");''')
    kinds = [kind if kind != "stream" else c["text"] for kind, c in published[2:]]
    assert kinds == ["a\n", "display_data", "b\n", "update_display_data", "clear_output", "c\n"], published
    named = of(published, "display_data")[0]
    assert named["transient"] == {"display_id": "bar"}, named
    assert of(published, "update_display_data")[0]["data"] == {"text/plain": "100 %"}
    assert of(published, "clear_output") == [{"wait": True}]

    # Expressions beside the cell; a cell that is not stored is not counted.
    _, reply = notebook.run("let n = 20;", user_expressions={"twice": "2 * n", "bad": "n +"})
    values = reply["user_expressions"]
    assert values["twice"]["data"]["text/plain"] == "40" and values["bad"]["status"] == "error", values
    _, again = notebook.run("n", store_history=False)
    assert again["execution_count"] == reply["execution_count"], again

    # Without stop_on_error the cells behind a failing one run.
    first = client.execute("panic!()", stop_on_error=False)
    second = client.execute("n + 1")
    assert notebook.collect(first)[1]["status"] == "error"
    assert notebook.collect(second)[1]["status"] == "ok"

    # A cell that reads asks; the end of the input where nobody may be asked.
    asking = client.execute('let mut name = String::new();\nstd::io::stdin().read_line(&mut name)?;')
    question = client.get_stdin_msg(timeout=60)
    assert question["content"] == {"prompt": "", "password": False}, question
    assert question["parent_header"]["msg_id"] == asking
    client.input("Ada")
    assert notebook.collect(asking)[1]["status"] == "ok"
    published, _ = notebook.run("name")
    assert of(published, "execute_result")[0]["data"]["text/plain"] == '"Ada\\n"', published
    published, _ = notebook.run("std::io::read_to_string(std::io::stdin())?", allow_stdin=False)
    assert of(published, "execute_result")[0]["data"]["text/plain"] == '""', published

    # What a thread prints later belongs to its cell.
    sent = client.execute('std::thread::spawn(|| {\n'
                          '    std::thread::sleep(std::time::Duration::from_millis(400));\n'
                          '    println!("late");\n});')
    notebook.collect(sent)
    late = published_until(client, lambda m: m["msg_type"] == "stream")
    assert (late["content"]["text"], late["parent_header"]["msg_id"]) == ("late\n", sent), late

    # Frames that are no message, and messages of somebody without the key, change nothing.
    socket = client.shell_channel.socket
    socket.send_multipart([b"rubbish"])
    socket.send_multipart([b"<IDS|MSG>", b"", b"{", b"", b"", b""])
    good = client.session.serialize(client.session.msg("kernel_info_request", {}))
    at = good.index(b"<IDS|MSG>")
    socket.send_multipart(good[:at + 1] + [b"0" * 64] + good[at + 2:])
    try:
        unexpected = client.get_shell_msg(timeout=1)
        sys.exit(f"answered: {unexpected}")
    except queue.Empty:
        pass
    assert text(notebook.run('println!("still here");')[0]) == "still here\n"

    # The history outlives the kernel.
    marker = f"// {time.time()}\n1"
    notebook.run(marker)
    client.stop_channels()
    manager.shutdown_kernel()
    notebook = Notebook()
    past = shell(notebook.client, notebook.client.history(hist_access_type="search", pattern=marker, n=5))
    assert [entry[2] for entry in past["history"]] == [marker], past
    notebook.client.stop_channels()
    notebook.manager.shutdown_kernel()
    print("ok")


if __name__ == "__main__":
    try:
        main()
    except queue.Empty:
        sys.exit("the kernel did not answer")
