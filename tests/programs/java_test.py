"""java: threads, ProcessBuilder, ProcessHandle against /proc, sockets, shutdown hooks."""

import os
import subprocess
import sys

from harness import Scenario, Suite

SOURCE = r"""
import java.io.*;
import java.net.*;
import java.nio.channels.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;

public class Probe {
  static String run(String... command) throws Exception {
    Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
    String out = new String(p.getInputStream().readAllBytes());
    return out.trim() + " " + p.waitFor();
  }

  public static void main(String[] args) throws Exception {
    long pid = ProcessHandle.current().pid();
    System.out.println("proc " + Files.readSymbolicLink(Path.of("/proc/self")).toString().equals("" + pid));
    System.out.println("parent " + (ProcessHandle.current().parent().isPresent()
        == Files.exists(Path.of("/proc/" + Files.readString(Path.of("/proc/self/stat")).replaceAll("(?s).*\\) . (\\d+).*", "$1")))));
    System.out.println("management " + java.lang.management.ManagementFactory.getRuntimeMXBean().getName().startsWith(pid + "@"));

    ExecutorService pool = Executors.newFixedThreadPool(16);
    AtomicLong sum = new AtomicLong();
    List<Future<Long>> futures = new ArrayList<>();
    for (int i = 0; i < 200; i++) { final int n = i; futures.add(pool.submit(() -> { sum.addAndGet(n); return (long) n * n; })); }
    long squares = 0; for (Future<Long> f : futures) squares += f.get();
    pool.shutdown(); pool.awaitTermination(1, TimeUnit.MINUTES);
    System.out.println("threads " + sum + " " + squares + " " + IntStream.range(0, 100000).parallel().mapToLong(x -> x % 7).sum());
    CountDownLatch latch = new CountDownLatch(1), started = new CountDownLatch(50);
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < 50; i++) { Thread t = new Thread(() -> { started.countDown(); try { latch.await(); } catch (InterruptedException e) { } }); t.start(); threads.add(t); }
    started.await();
    try (Stream<Path> tasks = Files.list(Path.of("/proc/self/task"))) { System.out.println("tasks " + (tasks.count() > 50)); }
    latch.countDown(); for (Thread t : threads) t.join();

    System.out.println(run("sh", "-c", "echo out; echo err >&2; exit 7"));
    System.out.println(run("sh", "-c", "kill -KILL $$"));
    System.out.println("ppid " + run("sh", "-c", "echo $PPID").equals(pid + " 0"));
    Process sleeper = new ProcessBuilder("sleep", "1000").start();
    System.out.println("alive " + sleeper.isAlive() + " " + ProcessHandle.of(sleeper.pid()).isPresent() + " "
        + sleeper.toHandle().info().command().orElse("none").matches(".*/sleep")
        + " " + ProcessHandle.current().children().map(ProcessHandle::pid).collect(Collectors.toList()).equals(List.of(sleeper.pid())));
    CompletableFuture<ProcessHandle> gone = sleeper.toHandle().onExit();
    sleeper.destroy(); System.out.println("destroyed " + sleeper.waitFor() + " " + !gone.get(20, TimeUnit.SECONDS).isAlive());
    System.out.println("gone " + ProcessHandle.of(sleeper.pid()).isPresent());
    List<Process> many = new ArrayList<>();
    for (int i = 0; i < 20; i++) many.add(new ProcessBuilder("sh", "-c", "exit " + i).start());
    StringBuilder statuses = new StringBuilder(); for (Process p : many) statuses.append(p.waitFor()).append(' ');
    System.out.println(statuses);
    List<Process> pipeline = ProcessBuilder.startPipeline(List.of(new ProcessBuilder("seq", "100"), new ProcessBuilder("sort", "-rn"), new ProcessBuilder("head", "-1")));
    System.out.println("pipeline " + new String(pipeline.get(2).getInputStream().readAllBytes()).trim());
    try { new ProcessBuilder("nosuchcommand").start(); } catch (IOException e) { System.out.println(e.getMessage()); }

    ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    int port = ((InetSocketAddress) server.getLocalAddress()).getPort();
    Thread serving = new Thread(() -> { try { for (int i = 0; i < 10; i++) try (Socket s = server.accept().socket()) { s.getOutputStream().write(s.getInputStream().read() + 1); } } catch (IOException e) { System.out.println(e); } });
    serving.start(); int got = 0;
    for (int i = 0; i < 10; i++) try (Socket s = new Socket(InetAddress.getLoopbackAddress(), port)) { s.getOutputStream().write(i); got += s.getInputStream().read(); }
    serving.join(); System.out.println("sockets " + got);
    try (FileChannel channel = FileChannel.open(Path.of("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE); FileLock lock = channel.lock()) {
      System.out.println("lock " + lock.isValid());
    }
    Files.delete(Path.of("lock"));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
    System.gc();
    run("kill", "-TERM", "" + pid);
    Thread.sleep(1000000);
  }
}
"""


def prepare(directory):
    with open(os.path.join(directory, "Probe.java"), "w") as file:
        file.write(SOURCE)
    subprocess.run(["javac", "-d", directory, os.path.join(directory, "Probe.java")], check=True, capture_output=True)


suite = Suite("java").needs("default-jdk-headless", "java", "javac")
for name, options in (("default", []), ("interpreted-serial", ["-Xint", "-XX:+UseSerialGC"])):
    suite.add(Scenario(name, ["java", "-XX:-UsePerfData", *options, "Probe"], prepare=prepare))
sys.exit(suite.main())
