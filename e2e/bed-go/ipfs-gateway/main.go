// Command ipfs-gateway serves the blocks in a folder by the code behind the public IPFS gateways.
//
// A file `<name>.car` adds all its blocks; any other file is one block and is named by its CID. New files are
// found when a block is asked for that is not known yet.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/gateway"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/ipld/go-car/v2"
)

// folder is a block store that reads its directory again before it says that a block is missing.
type folder struct {
	blockstore.Blockstore
	path  string
	mutex sync.Mutex
	seen  map[string]int64
}

func (f *folder) Get(ctx context.Context, id cid.Cid) (blocks.Block, error) {
	f.look(ctx, id)
	return f.Blockstore.Get(ctx, id)
}

func (f *folder) GetSize(ctx context.Context, id cid.Cid) (int, error) {
	f.look(ctx, id)
	return f.Blockstore.GetSize(ctx, id)
}

func (f *folder) Has(ctx context.Context, id cid.Cid) (bool, error) {
	f.look(ctx, id)
	return f.Blockstore.Has(ctx, id)
}

// look reads files that are new or have changed, if the block is not known. A file that cannot be read is logged and left.
func (f *folder) look(ctx context.Context, id cid.Cid) {
	if known, _ := f.Blockstore.Has(ctx, id); known {
		return
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	entries, err := os.ReadDir(f.path)
	if err != nil {
		log.Printf("cannot list %s: %v", f.path, err)
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || f.seen[entry.Name()] == info.ModTime().UnixNano() {
			continue
		}
		if err := f.read(ctx, entry.Name()); err != nil {
			log.Printf("cannot read %s: %v", entry.Name(), err)
			continue
		}
		f.seen[entry.Name()] = info.ModTime().UnixNano()
	}
}

func (f *folder) read(ctx context.Context, name string) error {
	file, err := os.Open(filepath.Join(f.path, name))
	if err != nil {
		return err
	}
	defer file.Close()
	if !strings.HasSuffix(name, ".car") {
		return f.readBlock(ctx, name, file)
	}
	reader, err := car.NewBlockReader(file)
	if err != nil {
		return err
	}
	for {
		block, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.Blockstore.Put(ctx, block); err != nil {
			return err
		}
	}
}

// readBlock takes the file's bytes for the block of that name as they are: a test may want a gateway that lies.
func (f *folder) readBlock(ctx context.Context, name string, file io.Reader) error {
	id, err := cid.Decode(name)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	block, err := blocks.NewBlockWithCid(data, id)
	if err != nil {
		return err
	}
	return f.Blockstore.Put(ctx, block)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8088", "address to serve on")
	path := flag.String("folder", ".", "folder of .car files and of blocks named by their CID")
	flag.Parse()

	store := &folder{
		Blockstore: blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore())),
		path:       *path,
		seen:       map[string]int64{},
	}
	backend, err := gateway.NewBlocksBackend(blockservice.New(store, offline.Exchange(store)))
	if err != nil {
		log.Fatal(err)
	}
	handler := gateway.NewHandler(gateway.Config{DeserializedResponses: true, NoDNSLink: true}, backend)
	log.Printf("serving %s on %s", *path, *listen)
	log.Fatal(http.ListenAndServe(*listen, handler))
}
