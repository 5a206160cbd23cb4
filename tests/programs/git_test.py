"""git: commits, branches, merges, clones, gc, bisect."""

import sys

from harness import Suite, script

SCRIPT = r"""
exec 2>&1
set -e
git init -q repo; cd repo
for i in $(seq 12); do seq $((i * 10)) > file$((i % 4)); [ $i -lt 8 ] && echo good > state || echo bad > state; git add -A; git commit -q -m "commit $i"; done
git log --oneline; git show --stat HEAD~3; git diff HEAD~5 HEAD --shortstat
git bisect start HEAD HEAD~11; git bisect run sh -c 'grep -q good state'; git bisect reset
git checkout -q -b topic HEAD~4; echo topic > topic; git add topic; git commit -qm topic
git checkout -q main; git merge --no-edit topic; git log --graph --oneline | head -5
git checkout -q -b conflict HEAD~2; echo other > file0; git commit -qam other; git merge main || echo conflict $?
git status --short; git merge --abort; git rebase main || { git checkout --theirs file0; git add file0; GIT_EDITOR=true git rebase --continue; }
git checkout -q main; git merge -q --ff-only conflict; git tag -a -m tagged v1; git describe
echo stashed >> file1; git stash -q; git stash list; git stash pop -q; git checkout -q -- file1
git worktree add -q ../wt HEAD~1; git worktree list | sed "s|$HOME||; s|  *| |g"; git worktree remove ../wt
git reset -q --hard HEAD~1; git reflog | head -3; git cherry-pick ORIG_HEAD; git revert --no-edit HEAD; git grep -n bad
git gc -q --aggressive --prune=now; git fsck --full; git count-objects -v | grep -v size; git repack -q -a -d
cd ..
git clone -q --no-local repo clone; git clone -q --bare repo bare.git; git -C clone log -1 --format=%H
cd clone; echo clone > c; git add c; git commit -qm "from clone"; git push -q ../bare.git HEAD:refs/heads/pushed; git fetch -q ../bare.git pushed; git rev-parse FETCH_HEAD
git remote add bare ../bare.git; git fetch -q bare; git branch -r; git submodule add -q ../bare.git sub; git commit -qm sub; git submodule status
printf '#!/bin/sh\necho hook $1\n' > .git/hooks/post-checkout; chmod +x .git/hooks/post-checkout; git checkout -q -b hooked | cut -c1-20
git archive HEAD | tar -t | sort | head -3; git format-patch -1 --stdout | tail -3 | head -1; git blame -s file0 | tail -1; git bundle create -q ../b.bundle HEAD main; git bundle verify -q ../b.bundle
git -c alias.x='!echo alias $GIT_PREFIX' x; git -c core.pager='cat > ../paged' --paginate log -1 > /dev/null; git notes add -m note; git log -1 --show-notes | tail -1
git for-each-ref --format='%(refname) %(objectname:short)'
"""

CONFIG = """[user]
name = A U Thor
email = author@example.com
[init]
defaultBranch = main
[pack]
threads = 1
[gc]
auto = 0
[protocol "file"]
allow = always
[advice]
detachedHead = false
"""

suite = Suite("git").needs("git", "git").needs("tar", "tar")
scenario = suite.add(script("everyday", SCRIPT, files={".gitconfig": CONFIG}, env={
    "GIT_AUTHOR_DATE": "2001-02-03T04:05:06Z", "GIT_COMMITTER_DATE": "2001-02-03T04:05:06Z",
    "GIT_CONFIG_NOSYSTEM": "1"}))
for path in ("*/index", "*.git/index"):
    scenario.ignore(path, because="the index holds inode numbers and change times")
sys.exit(suite.main())
