// A client of HTTP/2: fetches each file 20 times at the same time, and prints its name and the digest of what it got.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

const times = 20

func fetch(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 || response.StatusCode != 200 {
		return "", fmt.Errorf("%s %s", response.Proto, response.Status)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, response.Body); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}

func main() {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport}
	var wait sync.WaitGroup
	digests := make([]string, times*(len(os.Args)-2))
	for index := range digests {
		wait.Add(1)
		go func(index int) {
			defer wait.Done()
			digest, err := fetch(client, os.Args[1]+os.Args[2+index/times])
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			digests[index] = digest
		}(index)
	}
	wait.Wait()
	for index, digest := range digests {
		if digest != digests[index/times*times] {
			os.Exit(1)
		}
		if index%times == 0 {
			fmt.Println(os.Args[2+index/times], digest)
		}
	}
}
