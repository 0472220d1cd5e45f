module example.com/go-time

go 1.19
