// Command probe is what stories run inside a pod to see the cluster as a pod sees it.
//
//	probe wait                    sleeps until it is told to end
//	probe serve ADDRESS TEXT      answers every HTTP request with TEXT
//	probe get URL                 prints the answer's status and body; fails unless it is a success. Where nothing
//	                              answers it tries again for five seconds: a new Service takes a moment
//	probe dial ADDRESS            opens a TCP connection and closes it
//	probe listen NETWORK/ADDRESS… answers connections and datagrams there, such as tcp/:80 or udp/10.0.0.1:53
//	probe reach [SOURCE]          reads lines such as "tcp 10.0.0.1:80", tries all at once, from that address where one
//	                              is given, and prints those lines that were answered
//	probe resolve NAME            prints the name's addresses
//	probe cpus                    prints the CPUs that this process may use
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// limit is how long one look may take.
const limit = 5 * time.Second

func main() {
	if err := run(append(os.Args[1:], "", "")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	// The first process of a container ends by a signal only if it asks to.
	ended, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	switch words[0] {
	case "wait":
		<-ended.Done()
		return nil
	case "serve":
		return serve(ended, words[1], words[2])
	case "get":
		return get(words[1])
	case "dial":
		connection, err := net.DialTimeout("tcp", words[1], limit)
		if err != nil {
			return err
		}
		return connection.Close()
	case "listen":
		return listen(ended, os.Args[2:])
	case "reach":
		return reach(words[1])
	case "resolve":
		addresses, err := net.LookupHost(words[1])
		fmt.Println(strings.Join(addresses, " "))
		return err
	case "cpus":
		return cpus()
	}
	return fmt.Errorf("unknown word %q", words[0])
}

func serve(ended context.Context, address, text string) error {
	handler := http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprint(answer, text) })
	server := &http.Server{Addr: address, Handler: handler}
	go func() {
		<-ended.Done()
		server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// get does not check certificates: it looks at reachability.
func get(url string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := http.Client{Timeout: limit, Transport: transport}
	answer, err := client.Get(url)
	for end := time.Now().Add(limit); err != nil && time.Now().Before(end); answer, err = client.Get(url) {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	fmt.Printf("%d %s", answer.StatusCode, body)
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}

func cpus() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(status), "\n") {
		if list, found := strings.CutPrefix(line, "Cpus_allowed_list:"); found {
			fmt.Println(strings.TrimSpace(list))
			return nil
		}
	}
	return fmt.Errorf("the kernel tells no list of CPUs")
}
