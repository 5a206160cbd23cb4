// Go's scheduler: goroutines that spin are preempted by SIGURG to their threads by tgkill, while others make calls.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

func main() {
	runtime.GOMAXPROCS(4)
	var stop, spins, calls int64
	for i := 0; i < 4; i++ {
		go func() {
			// No call and no safe point: only a signal gets this thread back.
			for x := 1; ; x++ {
				if atomic.LoadInt64(&stop) != 0 {
					return
				}
				if x%1000000 == 0 {
					atomic.AddInt64(&spins, 1)
				}
			}
		}()
	}
	pid := os.Getpid()
	for atomic.LoadInt64(&calls) < 2000 || atomic.LoadInt64(&spins) < 20 {
		if os.Getpid() != pid || os.Getppid() <= 0 {
			fmt.Println("FAIL go_preempt.go: pid changed")
			os.Exit(1)
		}
		if _, err := os.Stat("/proc/self/stat"); err != nil {
			fmt.Println("FAIL go_preempt.go: stat:", err)
			os.Exit(1)
		}
		atomic.AddInt64(&calls, 1)
		if calls%100 == 0 {
			// Stops the world, which must reach the spinning threads too.
			runtime.GC()
		}
	}
	atomic.StoreInt64(&stop, 1)
	start := time.Now()
	runtime.Gosched()
	if time.Since(start) < 0 {
		fmt.Println("FAIL go_preempt.go: time ran backwards")
		os.Exit(1)
	}
	fmt.Println("PASS")
}
