"""Networks: the interfaces of encoder, decoder and critic, and networks made of layer tables."""
