SELECT metric, word, value FROM outbox_figures
