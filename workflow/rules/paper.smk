# Every suite of the paper's own tables and figures, and its theorems; docs/paper.md says which is which.
rule paper:
    input:
        lambda wildcards: made(*PAPER),
        rules.theory.input,
    localrule: True
