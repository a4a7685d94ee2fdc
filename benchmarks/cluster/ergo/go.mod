module ergoside

go 1.12

require github.com/halturin/ergo v1.1.0
