// A Kafka that speaks the protocol and keeps its messages in memory: franz-go's kfake, a broker on each port it is given.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func main() {
	var ports []int
	for _, text := range os.Args[1:] {
		port, err := strconv.Atoi(text)
		if err != nil {
			panic(err)
		}
		ports = append(ports, port)
	}
	cluster, err := kfake.NewCluster(
		kfake.Ports(ports...),
		kfake.NumBrokers(len(ports)),
		kfake.AllowAutoTopicCreation(),
		kfake.DefaultNumPartitions(4*len(ports)*len(ports)),
	)
	if err != nil {
		panic(err)
	}
	defer cluster.Close()
	moving := make(chan os.Signal, 1)
	signal.Notify(moving, syscall.SIGUSR1)
	go func() {
		for range moving {
			moveLeaders(cluster)
			fmt.Println("moving")
		}
	}()
	fmt.Println("ready")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
}

// As when a broker is stopped for an upgrade: the next produce request that reaches the second broker finds that its
// partitions are led by the first, which has meanwhile answered its own.
func moveLeaders(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if cluster.CurrentNode() != 1 {
			return nil, nil, false
		}
		cluster.DropControl()
		cluster.SleepControl(func() {
			time.Sleep(500 * time.Millisecond)
			for _, topic := range request.(*kmsg.ProduceRequest).Topics {
				for _, partition := range topic.Partitions {
					if err := cluster.MoveTopicPartition(topic.Topic, partition.Partition, 0); err != nil {
						panic(err)
					}
				}
			}
		})
		return nil, nil, false
	})
}
