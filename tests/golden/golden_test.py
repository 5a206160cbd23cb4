"""Images of earlier formats: each is verified, shown and thawed, for ever.

usage: golden_test.py BEAM"""

import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cli"))

import cli  # noqa: E402


class Golden(cli.Case):
    def images(self):
        for leaf in sorted(os.listdir(HERE)):
            if os.path.isfile(os.path.join(HERE, leaf, "manifest")):
                image = os.path.join(self.work, leaf)
                shutil.copytree(os.path.join(HERE, leaf), image)
                os.chmod(image, 0o700)
                yield image

    def test_each(self):
        count = 0
        for image in self.images():
            with self.subTest(os.path.basename(image)):
                count += 1
                self.ok("verify", image)
                shown = json.loads(self.ok("show", "--json", image))
                self.assertEqual([process["vpid"] for process in shown["processes"]], [1, 2])
                self.assertTrue(shown["processes"][1]["executable"].endswith("/waiter"))
                # By force: the program uses nothing that this processor could lack and the one it ran on had.
                result = self.beam("thaw", "--force", image, input="hello\n")
                self.assertEqual((result.returncode, result.stdout), (7, "thawed hello\n"), result.stderr)
        self.assertGreater(count, 0)


if __name__ == "__main__":
    cli.main()
