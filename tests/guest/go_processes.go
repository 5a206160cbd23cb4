// Go: os/exec in parallel, pids and parents, signals by os.Process and os/signal, goroutines on locked threads.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

func fail(format string, values ...interface{}) {
	_, _, line, _ := runtime.Caller(1)
	fmt.Printf("FAIL go_processes.go:%d %s\n", line, fmt.Sprintf(format, values...))
	os.Exit(1)
}

func child() {
	link, err := os.Readlink("/proc/self")
	if err != nil || link != strconv.Itoa(os.Getpid()) {
		fail("/proc/self: got %q (%v), expected %d", link, err, os.Getpid())
	}
	fmt.Println(os.Getpid(), os.Getppid())
	os.Exit(17)
}

func main() {
	if len(os.Args) > 1 {
		child()
	}
	var group sync.WaitGroup
	for worker := 0; worker < 4; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < 15; i++ {
				command := exec.Command("/proc/self/exe", "child")
				out, err := command.Output()
				status, ok := err.(*exec.ExitError)
				if !ok || status.ExitCode() != 17 {
					fail("child: got %v (%q), expected exit status 17", err, out)
				}
				want := fmt.Sprintf("%d %d\n", command.Process.Pid, os.Getpid())
				if string(out) != want {
					fail("child: got %q, expected %q", out, want)
				}
			}
		}()
	}
	group.Wait()

	signals := make(chan os.Signal, 100)
	signal.Notify(signals, syscall.SIGUSR1)
	for i := 0; i < 100; i++ {
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			fail("kill: %v", err)
		}
		<-signals
	}

	sleeper := exec.Command("sleep", "1000")
	if err := sleeper.Start(); err != nil {
		fail("start: %v", err)
	}
	if err := sleeper.Process.Signal(syscall.SIGTERM); err != nil {
		fail("signal: %v", err)
	}
	err := sleeper.Wait()
	if state := sleeper.ProcessState.Sys().(syscall.WaitStatus); !state.Signaled() || state.Signal() != syscall.SIGTERM {
		fail("wait: got %v, expected an end by SIGTERM", err)
	}
	if err := syscall.Kill(999999999, 0); err != syscall.ESRCH {
		fail("kill of nobody: got %v, expected ESRCH", err)
	}

	// Threads of their own: each tid is listed while its goroutine holds it.
	var mutex sync.Mutex
	seen := map[int]bool{}
	hold := make(chan struct{})
	var ready sync.WaitGroup
	for i := 0; i < 20; i++ {
		ready.Add(1)
		group.Add(1)
		go func() {
			defer group.Done()
			runtime.LockOSThread()
			tid := syscall.Gettid()
			mutex.Lock()
			if seen[tid] {
				fail("tid %d twice", tid)
			}
			seen[tid] = true
			mutex.Unlock()
			if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid)); err != nil {
				fail("task of %d: %v", tid, err)
			}
			ready.Done()
			<-hold
		}()
	}
	ready.Wait()
	close(hold)
	group.Wait()

	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil || !strings.HasPrefix(string(comm), "go_processes") {
		fail("comm: got %q (%v)", comm, err)
	}
	fmt.Println("PASS")
}
