"""tar: archives through pipes and compressors, sparse files, links, incremental ones."""

import os
import sys

from harness import Suite, script


def tree(directory):
    source = os.path.join(directory, "src")
    for number in range(60):
        sub = os.path.join(source, f"dir{number % 6}", f"sub{number % 10}")
        os.makedirs(sub, exist_ok=True)
        with open(os.path.join(sub, f"file{number}"), "w") as file:
            file.write(f"line of {number}\n" * (number * 37))
    os.symlink("../dir1", os.path.join(source, "dir0", "link"))
    os.link(os.path.join(source, "dir0/sub0/file0"), os.path.join(source, "hard"))
    os.mkfifo(os.path.join(source, "fifo"), 0o640)
    with open(os.path.join(source, "sparse"), "wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    os.chmod(os.path.join(source, "dir2"), 0o750)


SCRIPT = r"""
exec 2>&1
set -e
mkfifo src/fifo -m 640  # a copied work dir has no FIFOs
ln src/dir0/sub0/file0 src/hard
fixed="--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu"
tar $fixed -cf plain.tar src; tar -tvf plain.tar
tar $fixed -czf gz.tar.gz src; tar $fixed -cJf xz.tar.xz src; tar $fixed --zstd -cf zst.tar.zst src; tar $fixed -cSf sparse.tar src/sparse
for a in plain.tar gz.tar.gz xz.tar.xz zst.tar.zst; do tar -tf $a | md5sum; mkdir out.$a; tar -xpf $a -C out.$a; diff -r --no-dereference src out.$a/src 2>&1 | grep -v fifo || true; done
tar -df plain.tar && echo equal
tar $fixed -cf - src | (mkdir piped && cd piped && tar -xf - ) && diff -r src/dir3 piped/src/dir3
tar $fixed -cf - --exclude='file1*' --exclude-vcs src | tar -tf - | wc -l
echo more > more; tar $fixed -rf plain.tar more; tar --delete -f plain.tar src/dir1; tar -tf plain.tar | md5sum
tar $fixed -cf t.tar --transform 's/^src/renamed/' src/dir4; tar -tf t.tar | head -2
tar -xf plain.tar -O more; tar -xf plain.tar --strip-components=2 src/dir5; ls -d sub*
tar $fixed -cf inc0.tar -g snar src; echo new > src/dir2/new; tar $fixed -cf inc1.tar -g snar src; tar -tf inc1.tar | grep new; rm snar inc0.tar inc1.tar
tar $fixed -cM -L 100 -f vol1 -f vol2 -f vol3 src < /dev/null > /dev/null || true; rm -f vol?
tar --checkpoint=50 --checkpoint-action=exec='echo checkpoint' $fixed -cf check.tar src
tar -cf x.tar nosuch || echo status $?
tar -xf gz.tar.gz --to-command='wc -c' src/dir0 | sort -n | tail -1
head -c 5000 plain.tar > cut.tar; tar -tf cut.tar > /dev/null || echo status $?
"""

suite = Suite("tar").needs("tar", "tar").needs("xz-utils", "xz").needs("zstd", "zstd").needs("gzip", "gzip")


def prepare(directory):
    tree(directory)
    os.unlink(os.path.join(directory, "src", "fifo"))
    os.unlink(os.path.join(directory, "src", "hard"))


suite.add(script("archives", SCRIPT, prepare=prepare)) \
    .vary(r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE", because="tar -d and -tv print times of files made during the run")
sys.exit(suite.main())
