package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// patience is how long an answer may take: long enough for a second attempt of the kernel's.
const patience = 2 * time.Second

// answer is what listeners say to whoever comes.
var answer = []byte("here")

func listen(ended context.Context, places []string) error {
	for _, place := range places {
		network, address, _ := strings.Cut(place, "/")
		if network == "udp" {
			socket, err := net.ListenPacket(network, address)
			if err != nil {
				return err
			}
			go echo(socket)
			continue
		}
		listener, err := net.Listen(network, address)
		if err != nil {
			return err
		}
		go greet(listener)
	}
	<-ended.Done()
	return nil
}

func greet(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		// Whoever hangs up before is no matter.
		_, _ = connection.Write(answer)
		_ = connection.Close()
	}
}

func echo(socket net.PacketConn) {
	room := make([]byte, 16)
	for {
		_, from, err := socket.ReadFrom(room)
		if err != nil {
			return
		}
		_, _ = socket.WriteTo(answer, from)
	}
}

func reach(source string) error {
	var all sync.WaitGroup
	var output sync.Mutex
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		line := lines.Text()
		all.Go(func() {
			network, address, _ := strings.Cut(line, " ")
			if answers(network, address, source) {
				output.Lock()
				defer output.Unlock()
				fmt.Println(line)
			}
		})
	}
	all.Wait()
	return lines.Err()
}

func answers(network, address, source string) bool {
	end := time.Now().Add(patience)
	dialer := net.Dialer{Deadline: end}
	if ip := net.ParseIP(source); ip != nil && network == "udp" {
		dialer.LocalAddr = &net.UDPAddr{IP: ip}
	} else if ip != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: ip}
	}
	connection, err := dialer.Dial(network, address)
	if err != nil {
		return false
	}
	defer connection.Close()
	if connection.SetDeadline(end) != nil {
		return false
	}
	if network == "udp" {
		if _, err := connection.Write(answer); err != nil {
			return false
		}
	}
	_, err = io.ReadFull(connection, make([]byte, len(answer)))
	return err == nil
}
