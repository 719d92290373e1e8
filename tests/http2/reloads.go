// A client of HTTP/2 that fetches files, several at the same time, until its standard input ends. It prints a line for each
// connection, and in the end the number of requests. The arguments are the URL, the pause after a request, and the name and digest of
// each file.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const atOnce = 8

func fetch(client *http.Client, url, digest string) error {
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return err
	}
	trace := &httptrace.ClientTrace{GotConn: func(connection httptrace.GotConnInfo) {
		if !connection.Reused {
			fmt.Println("connected")
		}
	}}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 || response.StatusCode != 200 {
		return fmt.Errorf("%s %s", response.Proto, response.Status)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, response.Body); err != nil {
		return err
	}
	if fmt.Sprintf("%x", hash.Sum(nil)) != digest {
		return fmt.Errorf("%s: another content", url)
	}
	return nil
}

func main() {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "a.test"}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport}
	pause, err := time.ParseDuration(os.Args[2])
	if err != nil {
		panic(err)
	}
	files := os.Args[3:]
	var isOver atomic.Bool
	var requests atomic.Int64
	go func() {
		io.Copy(io.Discard, os.Stdin)
		isOver.Store(true)
	}()
	var wait sync.WaitGroup
	for n := 0; n < atOnce; n++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for !isOver.Load() {
				number := int(requests.Add(1) - 1)
				file := number % (len(files) / 2) * 2
				url := fmt.Sprintf("%s%s?go-%d", os.Args[1], files[file], number)
				if err := fetch(client, url, files[file+1]); err != nil {
					fmt.Fprintln(os.Stderr, number, err)
					os.Exit(1)
				}
				time.Sleep(pause)
			}
		}()
	}
	wait.Wait()
	fmt.Println(requests.Load())
}
