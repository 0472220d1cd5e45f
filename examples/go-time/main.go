// A small HTTP service in Go: the time, and how many have asked.
//
//	ounce build examples/go-time --platform linux/amd64,linux/arm64,linux/arm/v6
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	// As process 1 a program gets no signal that it has not asked for.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var asked int64
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		count := atomic.AddInt64(&asked, 1)
		fmt.Fprintf(w, "%s %d\n", time.Now().UTC().Format(time.RFC3339), count)
	})
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}
