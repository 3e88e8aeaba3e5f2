"""The compiled code. Its door is `convnet.functional`; nothing else imports from here."""
