"""A Go binary: goroutines, os/exec, signal.Notify, the network poller; and the Go compiler itself."""

import os
import shutil
import subprocess
import sys

from harness import Suite, script

SOURCE = r"""
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Println("child", os.Args[1] == fmt.Sprint(os.Getppid()))
		os.Exit(11)
	}
	self, _ := os.Readlink("/proc/self")
	fmt.Println("proc", self == fmt.Sprint(os.Getpid()), syscall.Getpgrp() > 0)
	var sum int64
	var group sync.WaitGroup
	for i := 0; i < 2000; i++ {
		group.Add(1)
		go func(n int64) { defer group.Done(); runtime.Gosched(); atomic.AddInt64(&sum, n) }(int64(i))
	}
	group.Wait()
	fmt.Println("sum", sum)
	// Threads of their own, each with a tid that /proc knows.
	good := int64(0)
	release := make(chan bool)
	var locked sync.WaitGroup
	for i := 0; i < 30; i++ {
		locked.Add(1)
		group.Add(1)
		go func() {
			defer group.Done()
			runtime.LockOSThread()
			if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", syscall.Gettid())); err == nil {
				atomic.AddInt64(&good, 1)
			}
			locked.Done()
			<-release
		}()
	}
	locked.Wait()
	close(release)
	group.Wait()
	fmt.Println("threads", good)
	out, err := exec.Command("sh", "-c", "echo $PPID; exit 3").Output()
	fmt.Println(strings.TrimSpace(string(out)) == fmt.Sprint(os.Getpid()), err)
	statuses := make([]int, 40)
	for i := range statuses {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			c := exec.Command("sh", "-c", fmt.Sprintf("exit %d", i))
			c.Run()
			statuses[i] = c.ProcessState.ExitCode()
		}(i)
	}
	group.Wait()
	fmt.Println(statuses)
	c := exec.Command(os.Args[0], fmt.Sprint(os.Getpid()))
	out, err = c.CombinedOutput()
	fmt.Print(string(out), err, "\n")
	cat := exec.Command("cat")
	in, _ := cat.StdinPipe()
	pipe, _ := cat.StdoutPipe()
	cat.Start()
	go func() { io.WriteString(in, strings.Repeat("line\n", 20000)); in.Close() }()
	lines := 0
	for scanner := bufio.NewScanner(pipe); scanner.Scan(); {
		lines++
	}
	fmt.Println(lines, cat.Wait())
	// Signals: from oneself, from a child, to a child, to a group.
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGHUP)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-signals)
	exec.Command("sh", "-c", "kill -HUP $PPID").Run()
	fmt.Println(<-signals)
	sleeper := exec.Command("sleep", "1000")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	sleeper.Start()
	pgid, _ := syscall.Getpgid(sleeper.Process.Pid)
	syscall.Kill(-pgid, syscall.SIGTERM)
	fmt.Println(pgid == sleeper.Process.Pid, sleeper.Wait(), sleeper.Process.Signal(syscall.Signal(0)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go io.Copy(connection, connection)
		}
	}()
	echoed := int64(0)
	for i := 0; i < 50; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			connection, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				return
			}
			fmt.Fprintf(connection, "message %d\n", i)
			answer, _ := bufio.NewReader(connection).ReadString('\n')
			if answer == fmt.Sprintf("message %d\n", i) {
				atomic.AddInt64(&echoed, 1)
			}
			connection.Close()
		}(i)
	}
	group.Wait()
	fmt.Println("echoed", echoed)
	select {
	case <-time.After(10 * time.Millisecond):
		fmt.Println("timer")
	}
	signal.Reset()
	syscall.Exec("/bin/sh", []string{"sh", "-c", fmt.Sprintf("[ $$ = %d ] && echo exec keeps the pid; exit 8", os.Getpid())}, os.Environ())
}
"""

ENVIRONMENT = {"GO111MODULE": "off", "GOFLAGS": "-trimpath", "GOTELEMETRY": "off", "GOMAXPROCS": "2"}


def prepare(directory):
    with open(os.path.join(directory, "probe.go"), "w") as file:
        file.write(SOURCE)
    cache = os.path.join(directory, "cache")
    environment = {**os.environ, **ENVIRONMENT, "GOCACHE": cache, "HOME": directory, "CGO_ENABLED": "0",
                   "PATH": "/usr/bin:/bin"}
    subprocess.run(["go", "build", "-o", "probe", "probe.go"], cwd=directory, env=environment, check=True,
                   capture_output=True)


def prepare_program(directory):
    prepare(directory)
    shutil.rmtree(os.path.join(directory, "cache"))


suite = Suite("go").needs("golang-go", "go")
suite.add(script("program", "./probe", prepare=prepare_program))
suite.add(script("compiler", r"""
export GOCACHE=$HOME/cache CGO_ENABLED=0
sed -i 's/"timer"/"another timer"/' probe.go
go build -o rebuilt probe.go && ./rebuilt | tail -2
gofmt -l probe.go; go run nosuch.go; echo $?
rm -rf rebuilt cache  # hold hashes of the work dir's path and times
""", prepare=prepare, env=ENVIRONMENT))
sys.exit(suite.main())
