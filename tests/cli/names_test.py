"""Host names of a group: what /etc/hosts and /etc/hostname say in its sandboxes, and what programs make of it."""

import os
import shutil

import cli

SERVER = ["python3", "-c", "import http.server, sys\n"
          "class Handler(http.server.BaseHTTPRequestHandler):\n"
          "  def do_GET(self):\n"
          "    self.send_response(200); self.end_headers(); self.wfile.write(b'hello from here')\n"
          "s = http.server.HTTPServer(('0.0.0.0', 80), Handler); print('ready', flush=True); s.serve_forever()\n"]


class Names(cli.Case):
    views = ((), ("--tmpfs", "/mnt"))  # without and with a mount view

    def setUp(self):
        super().setUp()
        with open("/etc/hosts", encoding="ascii") as file:
            self.workstations = file.read()

    def address(self, name):
        return self.ps()[name]["address"]

    def run_in(self, *command, name=None, options=()):
        words = ["--name", name] if name else ["--rm"]
        done = self.beam("run", *words, *options, "--", *command)
        self.assertEqual((done.returncode, done.stderr.partition("beam:")[0]), (0, ""))
        return done.stdout

    def test_in_a_group(self):
        self.ok("run", "-d", "--name", "web", "--hostname", "www.example", "--group", "g", "--", *SERVER)
        self.wait_for_log("ready", "web")
        four = self.address("web")
        six = "fd62:6561:6d00::6440:" + four.rsplit(".", 1)[1]
        for view in self.views:
            group = ("--group", "g", *view)
            for name in ("web", "www.example"):
                self.assertEqual(self.run_in("getent", "ahostsv4", name, options=group).split()[0], four)
                self.assertEqual(self.run_in("getent", "hosts", name, options=group).split(), [six, "web", "www.example"])
                self.assertEqual(self.run_in("curl", "-sS", f"http://{name}/", options=group), "hello from here")
            text = "import socket; print(socket.create_connection(('web', 80)).getpeername()[0], socket.gethostbyname('web'))"
            self.assertEqual(self.run_in("python3", "-c", text, options=group).split(), [four, four])
            # Nobody else's, and the workstation's names as before.
            self.assertEqual(self.beam("run", "--rm", *view, "--", "getent", "hosts", "www.example").returncode, 2)
            self.assertTrue(self.run_in("cat", "/etc/hosts", options=group).endswith(self.workstations))
        self.ok("rm", "-f", "web")
        self.assertEqual(self.beam("run", "--rm", "--group", "g", "--", "getent", "hosts", "web").returncode, 2)

    def test_its_own(self):
        for view in self.views:
            text = "import socket; print(socket.gethostname(), socket.gethostbyname(socket.gethostname()))"
            self.assertEqual(self.run_in("python3", "-c", text, name="box", options=("--hostname", "inside", *view)),
                             "inside 100.64.0.1\n")
            self.ok("rm", "box")
            self.assertEqual(self.run_in("cat", "/etc/hostname", options=("--hostname", "inside", *view)), "inside\n")
            self.assertEqual(self.run_in("getent", "ahostsv4", "box", name="box", options=view).split()[0], "100.64.0.1")
            self.ok("rm", "box")
        self.assertEqual(self.run_in("cat", "/etc/hosts", options=("--net", "host")), self.workstations)

    def test_it_is_a_file(self):
        """As programs look at one: its size, its copy, its link in /proc, and no writing."""
        text = ("import os, shutil\n"
                "data = open('/etc/hosts').read()\n"
                "seen = os.stat('/etc/hosts')\n"
                "fd = os.open('/etc/hosts', os.O_RDONLY)\n"
                "same = [(s.st_dev, s.st_ino, s.st_size) for s in (seen, os.fstat(fd))]\n"
                "print(same[0][2] == len(data), same[0] == same[1], os.readlink(f'/proc/self/fd/{fd}'))\n"
                "shutil.copyfile('/etc/hosts', 'copy'); print(open('copy').read() == data)\n"
                "os.system('cp /etc/hosts copy2'); print(open('copy2').read() == data)\n"
                "print(os.path.isfile('/etc/hosts'), os.access('/etc/hosts', os.R_OK), 'hosts' in os.listdir('/etc'))\n")
        for view in self.views:
            self.assertEqual(self.run_in("python3", "-c", text, options=("--hostname", "inside", *view)).split("\n"),
                             ["True True /etc/hosts", "True", "True", "True True True", ""])
        if os.getuid() != 0:
            self.assertNotEqual(self.beam("run", "--rm", "--", "sh", "-c", ": >> /etc/hosts").returncode, 0)

    def test_what_a_sandbox_writes_wins(self):
        if os.getuid() != 0:
            return  # /etc is root's, in a view as well
        text = ("echo 10.1.2.3 web > /etc/hosts; getent hosts web; cat /etc/hosts; echo mine > /etc/hostname; cat /etc/hostname;"
                "rm /etc/hosts; cat /etc/hosts; printf '10.9.9.9 web\\n' > /etc/new; mv /etc/new /etc/hosts; getent hosts web")
        done = self.beam("run", "--rm", "--name", "box", "--hostname", "web", "--tmpfs", "/mnt", "--", "sh", "-c", text)
        self.assertEqual(done.stdout.split(), "10.1.2.3 web 10.1.2.3 web mine 10.9.9.9 web".split())
        with open("/etc/hosts", encoding="ascii") as file:
            self.assertEqual(file.read(), self.workstations)

    def test_a_file_of_the_callers(self):
        with open(os.path.join(self.work, "hosts"), "w", encoding="ascii") as file:
            file.write("10.1.2.3 web\n")
        self.assertEqual(self.run_in("cat", "/etc/hosts", options=("--bind", f"{self.work}/hosts:/etc/hosts:ro")), "10.1.2.3 web\n")

    def test_over_a_freeze(self):
        text = "exec 3</etc/hosts; echo ready; read line; cat <&3; cat /etc/hosts"
        box = self.popen("run", "--name", "box", "--hostname", "inside", "--", "sh", "-c", text, stdin=-1)
        self.assertEqual(box.stdout.readline(), "ready\n")
        self.ok("freeze", "box", "-o", os.path.join(self.work, "image"))
        again = self.beam("thaw", os.path.join(self.work, "image"), "--name", "other", input="go\n")
        self.assertEqual(again.returncode, 0, again.stderr)
        was, now = (f"100.64.0.1 {name} inside\nfd62:6561:6d00::6440:1 {name} inside\n" + self.workstations for name in ("box", "other"))
        self.assertEqual(again.stdout, was + now)


if __name__ == "__main__":
    for needed in ("curl", "getent"):
        assert shutil.which(needed), f"{needed} is missing"
    cli.main()
