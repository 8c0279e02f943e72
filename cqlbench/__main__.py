from cqlbench.cli import main

main()
