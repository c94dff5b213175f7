// A member of a deal's subnet made of go-libp2p: says what it saw as one line of JSON.
//
//	foreign <seed in hex> <multiaddr with /p2p/> <size of a transfer>
package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2phttp "github.com/libp2p/go-libp2p/p2p/http"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// The other side hangs if something takes longer.
const limit = 50 * time.Second

type seen struct {
	Version    string   `json:"version"`
	Protocols  []string `json:"protocols"`
	PingMicros int64    `json:"pingMicros"`
	Answers    []string `json:"answers"`
	Uploaded   string   `json:"uploaded"`
	Downloaded string   `json:"downloaded"`
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	result, err := run(ctx, os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	text, _ := json.Marshal(result)
	fmt.Println(string(text))
}

func run(ctx context.Context, seed, address, size string) (*seen, error) {
	length, err := strconv.Atoi(size)
	if err != nil {
		return nil, err
	}
	server, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}
	self, err := member(seed)
	if err != nil {
		return nil, err
	}
	defer self.Close()
	if err := self.Connect(ctx, *server); err != nil {
		return nil, fmt.Errorf("refused: %w", err)
	}
	result := &seen{}
	if err := greet(ctx, self, server.ID, result); err != nil {
		return nil, fmt.Errorf("refused: %w", err)
	}
	transport, err := (&libp2phttp.Host{StreamHost: self}).NewConstrainedRoundTripper(*server)
	if err != nil {
		return nil, err
	}
	return result, ask(ctx, &http.Client{Transport: transport}, length, result)
}

func member(seed string) (host.Host, error) {
	bytes, err := hex.DecodeString(seed)
	if err != nil {
		return nil, err
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(bytes))
	if err != nil {
		return nil, err
	}
	return libp2p.New(
		libp2p.Identity(key),
		libp2p.NoListenAddrs,
		libp2p.DisableRelay(),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
	)
}

// Identify and ping.
func greet(ctx context.Context, self host.Host, server peer.ID, result *seen) error {
	pong := <-ping.Ping(ctx, self, server)
	if pong.Error != nil {
		return pong.Error
	}
	result.PingMicros = pong.RTT.Microseconds()
	protocols, err := self.Peerstore().GetProtocols(server)
	if err != nil {
		return err
	}
	for _, protocol := range protocols {
		result.Protocols = append(result.Protocols, string(protocol))
	}
	version, err := self.Peerstore().Get(server, "ProtocolVersion")
	if err != nil {
		return err
	}
	result.Version, _ = version.(string)
	return nil
}

func ask(ctx context.Context, client *http.Client, length int, result *seen) error {
	result.Answers = make([]string, 32)
	errors := make([]error, len(result.Answers))
	var all sync.WaitGroup
	for number := range result.Answers {
		all.Go(func() {
			text, err := answer(ctx, client, http.MethodGet, fmt.Sprintf("/hello/%d", number), nil)
			result.Answers[number], errors[number] = string(text), err
		})
	}
	all.Wait()
	for _, err := range errors {
		if err != nil {
			return err
		}
	}
	sent := bytes.Repeat([]byte{7}, length)
	text, err := answer(ctx, client, http.MethodPost, "/upload", bytes.NewReader(sent))
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	result.Uploaded = string(text)
	received, err := answer(ctx, client, http.MethodGet, fmt.Sprintf("/download/%d", length), nil)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	sum := sha256.Sum256(received)
	result.Downloaded = hex.EncodeToString(sum[:])
	return nil
}

func answer(ctx context.Context, client *http.Client, method, path string, body io.Reader) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}
