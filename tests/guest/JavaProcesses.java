// Java: ProcessHandle, ProcessBuilder, children and descendants, destroy, exit statuses, many threads and their ids.
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

public class JavaProcesses {
  static void check(boolean condition, String what) {
    if (!condition) {
      int line = StackWalker.getInstance().walk(frames -> frames.skip(1).findFirst().get().getLineNumber());
      System.out.println("FAIL JavaProcesses.java:" + line + " " + what);
      Runtime.getRuntime().halt(1);
    }
  }

  public static void main(String[] arguments) throws Exception {
    long self = ProcessHandle.current().pid();
    String link = Files.readSymbolicLink(Path.of("/proc/self")).toString();
    check(link.equals(Long.toString(self)), "pid " + self + ", /proc/self " + link);

    for (int i = 0; i < 20; ++i) {
      Process process = new ProcessBuilder("sh", "-c", "echo $$ $PPID; exit " + i).start();
      String[] told = new String(process.getInputStream().readAllBytes()).trim().split(" ");
      check(process.waitFor() == i, "exit status " + process.exitValue() + ", expected " + i);
      check(told[0].equals(Long.toString(process.pid())), "child says " + told[0] + ", pid() " + process.pid());
    }

    Process sleeper = new ProcessBuilder("sleep", "1000").start();
    check(sleeper.isAlive(), "child is not alive");
    check(sleeper.toHandle().parent().get().pid() == self, "parent of child is not " + self);
    check(ProcessHandle.current().children().anyMatch(child -> child.pid() == sleeper.pid()), "child is not listed");
    check(ProcessHandle.of(sleeper.pid()).isPresent(), "no handle of child");
    check(sleeper.info().command().get().endsWith("sleep"), "command of child: " + sleeper.info().command());
    sleeper.destroy();
    check(sleeper.waitFor() == 143, "exit status of destroyed child: " + sleeper.exitValue());
    check(ProcessHandle.of(999999999L).isEmpty(), "a handle of nobody");

    List<Thread> threads = new ArrayList<>();
    CountDownLatch started = new CountDownLatch(100), release = new CountDownLatch(1);
    AtomicInteger done = new AtomicInteger();
    for (int i = 0; i < 100; ++i) {
      Thread thread = new Thread(() -> {
        started.countDown();
        try {
          release.await();
        } catch (InterruptedException interrupted) {
          return;
        }
        done.incrementAndGet();
      });
      thread.start();
      threads.add(thread);
    }
    started.await();
    try (var tasks = Files.list(Path.of("/proc/self/task"))) {
      check(tasks.count() > 100, "too few tasks");
    }
    release.countDown();
    for (Thread thread : threads) {
      thread.join();
    }
    check(done.get() == 100, "threads done: " + done);
    System.gc();
    if (System.getenv("BEAM_GUEST").equals("beam")) {
      long outside = Long.parseLong(System.getenv("BEAM_OUTSIDE_PID"));
      check(ProcessHandle.of(outside).isEmpty(), "process " + outside + " of the outside is seen");
      check(ProcessHandle.allProcesses().allMatch(process -> process.pid() < 5000), "a host pid is seen");
    }
    System.out.println("PASS");
  }
}
