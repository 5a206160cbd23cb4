"""beam rehearse: natively, and again while it is frozen and thawed or moved about a lab."""

import os

import cli

STEPS = "for i in 1 2 3 4 5 6 7 8 9 10; do echo step $i; sleep 0.05; done"


class Rehearse(cli.Case):
    def setUp(self):
        super().setUp()
        self.env["TMPDIR"] = os.path.join(self.dir, "tmp")
        os.mkdir(self.env["TMPDIR"])

    def rehearse(self, *words, **options):
        done = self.beam("rehearse", *words, **options)
        self.assertEqual(os.listdir(self.env["TMPDIR"]), [])  # nothing is left behind
        return done

    def test_the_same(self):
        with open(os.path.join(self.work, "kept"), "w", encoding="utf-8") as file:
            file.write("before\n")
        text = f"cat; {STEPS}; cat kept; echo after > kept; mkdir -p a/b; ln -s nowhere a/link; exit 5"
        for how in (["--freeze-only"], []):
            with self.subTest(how=how):
                done = self.rehearse(*how, "--moves", "4", "--every", "60", "--", "sh", "-c", text, input="input\n")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertRegex(done.stdout, r"the same stdout, exit status and files after [1-4] (freezes|moves)\n\Z")
        self.assertEqual(os.listdir(self.work), ["kept"])
        with open(os.path.join(self.work, "kept"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "before\n")

    def test_what_differs(self):
        for text, part in ((f"{STEPS}; date +%N", "stdout differs at byte "),
                           (f"{STEPS}; date +%N > times", "file times: differs at byte 0"),
                           (f"{STEPS}; test $PPID -gt 1; touch only-$(cut -d' ' -f22 /proc/self/stat)", "is there only natively"),
                           (f"{STEPS}; test $$ -gt 300", "exit status 0 natively, 1 moved")):
            with self.subTest(text=text):
                done = self.rehearse("--freeze-only", "--moves", "1", "--every", "100", "--seed", "7", "--", "sh", "-c", text)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertIn(part, done.stderr)
                self.assertIn("--seed 7", done.stderr)

    def test_what_can_not_be_moved(self):
        text = "import os, time; fd = os.memfd_create('x', 4); time.sleep(2)"
        done = self.rehearse("--freeze-only", "--every", "300", "--", "python3", "-c", text)
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertRegex(done.stderr, r"\Abeam: rehearsal:\d+: [^\n]+\n\Z")

    def test_too_short_to_be_moved(self):
        done = self.rehearse("--freeze-only", "--every", "60000", "--", "true")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--every", done.stderr)

    def test_wrong_usage(self):
        self.assert_fault(self.rehearse(), 2, "no command")
        self.assert_fault(self.rehearse("--moves", "x", "--", "true"), 2, "--moves")
        self.assert_fault(self.rehearse("--freeze-only", "--", "no-such-command"), 1, "no-such-command")


if __name__ == "__main__":
    cli.main()
