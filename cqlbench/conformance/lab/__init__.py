"""Anyone's critic loss: asked, compared with every known defect, and judged term by term."""
