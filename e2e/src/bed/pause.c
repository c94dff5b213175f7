/* What holds a pod's namespaces: it waits until it is told to end. */
#include <signal.h>
#include <unistd.h>

static void end(int number) { _exit(number == SIGKILL); }

int main(void) {
  signal(SIGINT, end);
  signal(SIGTERM, end);
  signal(SIGCHLD, SIG_IGN); /* with a shared process namespace orphans come here; the kernel buries them */
  for (;;)
    pause();
}
